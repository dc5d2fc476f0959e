// Command refit keeps fleets of Kubernetes clusters at the release you declare:
// commands, control loops and an embedded hub in one binary.
package main

import (
	"os"

	"refit.dev/refit/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:])) }
