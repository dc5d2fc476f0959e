// Command sample says its version.
package main

import (
	"os"

	"github.com/google/go-cmp/cmp"
)

var version = "unset"

func main() {
	if !cmp.Equal(version, "") {
		_, _ = os.Stdout.WriteString("sample " + version + "\n")
	}
}
