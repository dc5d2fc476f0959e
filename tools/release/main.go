// Command release builds a binary for every platform and packs what users download: for each platform an
// archive and a bill of materials, and the checksums of them all.
//
// The same commit gives the same bytes, whoever builds it and when: nothing of the machine gets into the
// binary or the archive, and every time in them is the one that is given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// A platform is what a binary runs on, as Go names it.
type platform struct{ system, processor string }

// A request is what is to be released.
type request struct {
	root      string // of the module
	out       string // folder that is emptied and filled
	pkg       string // of the command, as ./cmd/refit
	version   string
	flags     string // for the linker
	platforms []platform
	at        time.Time
	progress  io.Writer
}

func main() {
	r, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = r.run(ctx)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// inName is what may be part of the name of a file.
var inName = regexp.MustCompile(`^v[0-9A-Za-z.+-]+$`)

func parse(args []string, words io.Writer) (request, error) {
	r := request{progress: words}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(words)
	flags.StringVar(&r.root, "C", ".", "the folder of the module")
	flags.StringVar(&r.out, "out", "dist", "the folder to write, relative to the module's; what is in it is removed")
	flags.StringVar(&r.version, "version", "", "the version, as v1.2.3")
	flags.StringVar(&r.flags, "ldflags", "", "flags of the linker")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "what to build for")
	seconds := flags.Int64("time", 0, "the time of every file, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return r, err
	}
	if flags.NArg() != 1 {
		return r, errors.New("name the one package of the command, for example ./cmd/refit")
	}
	r.pkg, r.at = flags.Arg(0), time.Unix(*seconds, 0).UTC()
	if !inName.MatchString(r.version) {
		return r, fmt.Errorf("-version %q: is no version; name one as v1.2.3", r.version)
	}
	for text := range strings.SplitSeq(*platforms, ",") {
		system, processor, ok := strings.Cut(text, "/")
		if !ok || system == "" || processor == "" {
			return r, fmt.Errorf("-platforms %q: is no platform; name it as linux/amd64", text)
		}
		r.platforms = append(r.platforms, platform{system, processor})
	}
	if !filepath.IsAbs(r.out) {
		r.out = filepath.Join(r.root, r.out)
	}
	return r, nil
}

// name is the command's.
func (r request) name() string { return path.Base(filepath.ToSlash(r.pkg)) }

// run writes everything beside the folder and renames it at the end, so that no half of a release is ever
// taken for one.
func (r request) run(ctx context.Context) error {
	partial := r.out + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil { //nolint:gosec // what everybody may download, everybody may read
		return err
	}
	licences, err := readLicences(filepath.Join(r.root, "NOTICE"))
	if err != nil {
		return err
	}
	for _, p := range r.platforms {
		began := time.Now()
		if err := r.one(ctx, p, partial, licences); err != nil {
			return fmt.Errorf("%s/%s: %w", p.system, p.processor, err)
		}
		fmt.Fprintf(r.progress, "%s/%s: %s\n", p.system, p.processor, time.Since(began).Round(time.Second))
	}
	if err := writeChecksums(partial); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	return os.Rename(partial, r.out)
}

// one makes what belongs to a platform.
func (r request) one(ctx context.Context, p platform, folder string, licences map[string]string) (err error) {
	work, err := os.MkdirTemp("", "refit-release-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	binary := filepath.Join(work, r.name())
	if err := r.build(ctx, p, binary); err != nil {
		return err
	}
	base := fmt.Sprintf("%s-%s-%s-%s", r.name(), r.version, p.system, p.processor)
	files := []file{{r.name(), binary, 0o755}}
	for _, name := range []string{"LICENSE", "NOTICE", "README.md"} {
		files = append(files, file{name, filepath.Join(r.root, name), 0o644})
	}
	if err := writeArchive(filepath.Join(folder, base+".tar.gz"), base, files, r.at); err != nil {
		return err
	}
	return r.writeBOM(filepath.Join(folder, base+".cdx.json"), binary, p, licences)
}

// build compiles statically, without the paths of this machine.
func (r request) build(ctx context.Context, p platform, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", r.flags, "-o", binary, r.pkg)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.processor)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, text)
	}
	return nil
}
