package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// multicall is the main package of a built Kubernetes: its control-plane
// commands in one binary, so that what they share is compiled, stored and kept
// in memory once. Every command is put together as its own main package does
// it upstream; those four files have been the same since v1.35.
const multicall = `// Command kubernetes is the control plane of Kubernetes in one binary. It is
// told which command to be by the name it is called by, or by its first argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // time zones of CronJobs

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if run(filepath.Base(os.Args[0])) {
		return
	}
	if len(os.Args) > 1 {
		os.Args = os.Args[1:]
		if run(os.Args[0]) {
			return
		}
	}
	fmt.Fprintln(os.Stderr, "name one of kube-apiserver, kube-controller-manager, kube-scheduler, kubectl as the first argument")
	os.Exit(2)
}

// run is false when there is no command of that name.
func run(name string) bool {
	switch name {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kubectl":
		runKubectl()
	default:
		return false
	}
	return true
}

func runKubectl() {
	logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) // before the command is made: that logs already
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
`

// multicallName is what the binary is called; the commands are links to it.
const multicallName = Kubernetes

// A module is what a build compiles: a small Go module, written for the
// purpose, that requires the published module at one version.
type module struct {
	files  map[string]string
	target string // the package to build
	output string // the name of the binary
}

// upstream is the part of a published go.mod that a generated one repeats.
type upstream struct {
	Go      string
	GoDebug []struct{ Key, Value string }
	Replace []struct {
		Old struct{ Path string }
		New struct{ Path string }
	}
}

// generate writes the module of an artefact, given the go.mod that the module
// was published with.
func generate(a Artefact, published upstream) module {
	p := a.product()
	require := map[string]string{p.module: a.Version}
	if a.Name == Kubernetes {
		// k8s.io/kubernetes finds its staging modules by replace directives,
		// which count only in a main module. Published, they are v0.X to its
		// v1.X. The sample ones are no part of any command.
		for _, r := range published.Replace {
			if strings.HasPrefix(r.New.Path, "./staging/") && !strings.HasPrefix(r.Old.Path, "k8s.io/sample-") {
				require[r.Old.Path] = "v0" + strings.TrimPrefix(a.Version, "v1")
			}
		}
	}
	m := module{target: p.target, output: a.Name, files: map[string]string{"go.mod": goMod(published, require)}}
	if a.Name == Kubernetes {
		m.files["main.go"] = multicall
	}
	return m
}

// goMod repeats the language version and the godebug settings of the published
// module: they decide how the runtime behaves, and it should behave as in the
// official binaries.
func goMod(published upstream, require map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "module refit.dev/built\n\ngo %s\n", published.Go)
	for _, d := range published.GoDebug {
		fmt.Fprintf(&b, "\ngodebug %s=%s\n", d.Key, d.Value)
	}
	b.WriteString("\nrequire (\n")
	for _, path := range sortedKeys(require) {
		fmt.Fprintf(&b, "\t%s %s\n", path, require[path])
	}
	b.WriteString(")\n")
	return b.String()
}

func (m module) write(dir string) error {
	for _, name := range sortedKeys(m.files) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(m.files[name]), 0o600); err != nil {
			return fmt.Errorf("write the module to build: %w", err)
		}
	}
	return nil
}
