// Command notice prints the NOTICE of the packages it is given: the modules that end up in the binary,
// with their licences, and the texts that those licences ask to be passed on. It fails when a module has
// no licence, one that it cannot tell, or one that the project does not accept.
//
// A licence is looked for beside each package and in every folder above it, up to the module's own:
// forked code often lies in a subfolder under terms of its own.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// platforms are those the binary is released for. A module may be needed on one of them alone.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"} //nolint:gochecknoglobals // a constant, but for the language

func main() {
	root := flag.String("C", ".", "the folder of the module that the packages belong to")
	flag.Parse()
	text, err := run(*root, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
	fmt.Fprint(os.Stdout, text)
}

func run(root string, packages []string) (string, error) {
	if len(packages) == 0 {
		return "", errors.New("name the packages of the binary, for example ./cmd/refit")
	}
	linked := map[pkg]bool{}
	for _, platform := range platforms {
		if err := list(root, platform, packages, linked); err != nil {
			return "", err
		}
	}
	papers, err := collect(linked)
	if err != nil {
		return "", err
	}
	return render(papers), nil
}

// pkg is one package of a module: where its code lies, and where its module begins.
type pkg struct {
	module, version string
	dir, root       string
}

// list adds the packages that are linked on a platform. The standard library counts as one module.
func list(root, platform string, packages []string, linked map[pkg]bool) error {
	goos, goarch := filepath.Split(platform)
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Root,Standard,Module", "--"}, packages...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+filepath.Clean(goos), "GOARCH="+goarch)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("list the packages linked on %s: %w", platform, err)
	}
	readErr := read(out, linked)
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return fmt.Errorf("list the packages linked on %s: %w", platform, err)
	}
	return nil
}

func read(out io.Reader, linked map[pkg]bool) error {
	for dec := json.NewDecoder(out); ; {
		var p struct {
			Dir, Root string
			Standard  bool
			Module    *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case p.Standard:
			linked[pkg{module: "the Go standard library", dir: p.Root, root: p.Root}] = true
		case p.Module != nil && !p.Module.Main: // without a module it is an error, of which the exit code tells
			linked[pkg{p.Module.Path, p.Module.Version, p.Dir, p.Module.Dir}] = true
		}
	}
}
