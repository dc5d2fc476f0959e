package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

var errNoGo = errors.New("there is no go command on PATH: install Go (https://go.dev/dl), " +
	"or take the binaries from a machine that has them: refit kube export there, refit kube import FILE here")

// A goTool runs go for one build.
type goTool struct {
	bin   string
	of    build
	dir   string // of the generated module
	temp  string
	cache string // the compiler's; see chooseCache
}

func newGoTool(b build) (*goTool, error) {
	bin, err := exec.LookPath("go")
	if err != nil {
		return nil, errNoGo
	}
	g := &goTool{
		bin: bin, of: b,
		dir:   filepath.Join(b.scratch, "module"),
		temp:  filepath.Join(b.scratch, "tmp"),
		cache: filepath.Join(b.scratch, "gocache"),
	}
	for _, dir := range []string{g.dir, g.temp, g.cache} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a folder to build in: %w", err)
		}
	}
	return g, nil
}

// goSetup is what go says of itself.
type goSetup struct{ GOVERSION, GOMODCACHE, GOCACHE string }

func goEnv(ctx context.Context) (goSetup, error) {
	bin, err := exec.LookPath("go")
	if err != nil {
		return goSetup{}, errNoGo
	}
	cmd := exec.CommandContext(ctx, bin, "env", "-json", "GOVERSION", "GOMODCACHE", "GOCACHE")
	cmd.Dir = os.TempDir() // outside any module, which could ask for another Go
	cmd.Env = goEnviron(nil)
	out, err := cmd.Output()
	var setup goSetup
	if err == nil {
		err = json.Unmarshal(out, &setup)
	}
	if err != nil {
		return goSetup{}, fmt.Errorf("ask %s for its settings: %w", bin, err)
	}
	return setup, nil
}

func goEnviron(more map[string]string) []string {
	settings := goSettings()
	maps.Copy(settings, more)
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		_, ours := settings[key]
		return ours
	})
	for _, key := range sortedKeys(settings) {
		env = append(env, key+"="+settings[key])
	}
	return env
}

// run runs go. It ends with us, however we end: interrupted when the context
// is done, killed when we are.
func (g *goTool) run(ctx context.Context, each func(line string), args ...string) ([]byte, error) {
	// The kernel kills the child when the thread that started it ends, so
	// that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var stdout bytes.Buffer
	stderr := &lineWriter{each: each}
	cmd := exec.CommandContext(ctx, g.bin, args...)
	cmd.Dir = g.dir
	cmd.Env = goEnviron(map[string]string{"GOCACHE": g.cache, "GOTMPDIR": g.temp})
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	cmd.ExtraFiles = []*os.File{g.of.lock}
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("go %s: %w", args[0], context.Cause(ctx))
	case err != nil && stderr.tail() != "":
		return nil, fmt.Errorf("go %s: %w: %s", args[0], err, stderr.tail())
	case err != nil:
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return stdout.Bytes(), nil
}

// published asks the module proxy (or the module cache) for the go.mod of an
// artefact; its source is not fetched for that.
func (g *goTool) published(ctx context.Context, a Artefact) (upstream, error) {
	module := a.product().module + "@" + a.Version
	var found struct{ GoMod string }
	if err := g.json(ctx, &found, "list", "-m", "-json", module); err != nil {
		return upstream{}, err
	}
	if found.GoMod == "" { // seen where the checksum database did not know a version that the proxy lists
		return upstream{}, fmt.Errorf("%s is listed, but its go.mod could not be verified", module)
	}
	var mod upstream
	if err := g.json(ctx, &mod, "mod", "edit", "-json", found.GoMod); err != nil {
		return upstream{}, err
	}
	if mod.Go == "" {
		return upstream{}, fmt.Errorf("go.mod of %s names no Go version: it is too old to be built", module)
	}
	return mod, nil
}

func (g *goTool) json(ctx context.Context, into any, args ...string) error {
	out, err := g.run(ctx, nil, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("read the output of go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// chooseCache fetches the modules that are missing, and returns how many
// packages are to be compiled at most.
//
// A cache of the build's own leaves no gigabytes behind, and loses nothing:
// two minors share hardly a package. But where Refit itself was compiled, the
// user's cache has much of the version that Refit links: building v1.37.2 took
// a third of the CPU time there. So that is used if it has a quarter of what is
// not Go's own.
func (g *goTool) chooseCache(ctx context.Context, target string) (packages int, err error) {
	fetched := 0
	each := func(line string) {
		if strings.HasPrefix(line, "go: downloading") {
			fetched++
			g.of.report(fmt.Sprintf("fetching its modules, %d so far", fetched))
		}
	}
	own := g.cache
	if filepath.IsAbs(g.of.userCache) { // and not "off"
		g.cache = g.of.userCache
	}
	const state = "{{if .Standard}}standard{{else if .Stale}}stale{{else}}compiled{{end}}"
	args := append([]string{"list", "-deps", "-f", state}, buildFlags(g.of.Artefact)...)
	out, err := g.run(ctx, each, append(args, target)...)
	count := map[string]int{}
	for line := range strings.Lines(string(out)) {
		count[strings.TrimSpace(line)]++
	}
	if count["compiled"] > count["stale"]/3 {
		return count["stale"], err
	}
	g.cache = own
	return count["standard"] + count["stale"] + count["compiled"], err
}

// build counts on -v, which names every package as its compilation begins.
func (g *goTool) build(ctx context.Context, m module, total int) error {
	compiled := 0
	each := func(string) {
		compiled++
		g.of.report(fmt.Sprintf("compiling, %d of %d packages", min(compiled, total), total))
	}
	args := append([]string{"build", "-v", "-o", filepath.Join(g.of.into, m.output)}, buildFlags(g.of.Artefact)...)
	_, err := g.run(ctx, each, append(args, m.target)...)
	return err
}

// A lineWriter hands on whole lines and keeps the last ones: there a failed
// command says why.
type lineWriter struct {
	each func(line string) // may be nil
	rest []byte
	last []string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.rest = rest
		if w.last = append(w.last, string(line)); len(w.last) > 10 {
			w.last = w.last[1:]
		}
		if w.each != nil {
			w.each(string(line))
		}
	}
}

func (w *lineWriter) tail() string {
	lines := append(slices.Clone(w.last), string(w.rest))
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Trim(strings.Join(lines, "; "), "; ")
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
