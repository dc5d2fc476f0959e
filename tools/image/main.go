// Command image builds a command for Linux and packs it, for each processor, into an archive of an OCI image that
// every runtime and registry tool reads: no daemon, no base image and no shell are needed, to build it or in it.
//
// The same commit gives the same bytes, whoever builds it and when, and so the same digest.
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

// A request is what is to be packed.
type request struct {
	root       string // of the module
	out        string // folder that gets the archives; what else is in it stays
	pkg        string // of the command, as ./cmd/refit
	version    string
	revision   string // the commit; empty where there is none
	flags      string // for the linker
	processors []string
	at         time.Time
	progress   io.Writer
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
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// inName is what may be part of the name of a file.
var inName = regexp.MustCompile(`^v[0-9A-Za-z.+-]+$`)

func parse(args []string, words io.Writer) (request, error) {
	r := request{progress: words}
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(words)
	flags.StringVar(&r.root, "C", ".", "the folder of the module")
	flags.StringVar(&r.out, "out", "dist", "the folder to write to, relative to the module's")
	flags.StringVar(&r.version, "version", "", "the version, as v1.2.3")
	flags.StringVar(&r.revision, "revision", "", "the commit that is built")
	flags.StringVar(&r.flags, "ldflags", "", "flags of the linker")
	processors := flags.String("processors", "amd64,arm64", "what to build for")
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
	r.processors = strings.Split(*processors, ",")
	if !filepath.IsAbs(r.out) {
		r.out = filepath.Join(r.root, r.out)
	}
	return r, nil
}

// name is the command's.
func (r request) name() string { return path.Base(filepath.ToSlash(r.pkg)) }

func (r request) run(ctx context.Context) error {
	if err := os.MkdirAll(r.out, 0o755); err != nil { //nolint:gosec // what everybody may download, everybody may read
		return err
	}
	for _, processor := range r.processors {
		began := time.Now()
		digest, err := r.one(ctx, processor)
		if err != nil {
			return fmt.Errorf("linux/%s: %w", processor, err)
		}
		fmt.Fprintf(r.progress, "linux/%s: %s, %s\n", processor, digest, time.Since(began).Round(time.Second))
	}
	return nil
}

// one makes a processor's archive, and is the image's digest. The archive is renamed into its place, so that no half
// of one is ever taken for it.
func (r request) one(ctx context.Context, processor string) (digest string, err error) {
	work, err := os.MkdirTemp("", "refit-image-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	binary := filepath.Join(work, r.name())
	if err := r.build(ctx, processor, binary); err != nil {
		return "", err
	}
	layer := filepath.Join(work, "layer.tar")
	if err := writeTar(layer, r.files(binary), r.at); err != nil {
		return "", err
	}
	image, err := r.image(layer, processor)
	if err != nil {
		return "", fmt.Errorf("put the image together: %w", err)
	}
	layout := filepath.Join(work, "layout")
	if err := r.writeLayout(layout, image, processor); err != nil {
		return "", fmt.Errorf("write the image: %w", err)
	}
	name := filepath.Join(r.out, fmt.Sprintf("%s-%s-linux-%s.oci.tar", r.name(), r.version, processor))
	if err := writeFolder(name+".partial", layout, r.at); err != nil {
		return "", err
	}
	hash, err := image.Digest()
	if err != nil {
		return "", err
	}
	return hash.String(), os.Rename(name+".partial", name)
}

// build compiles statically, without the paths of this machine.
func (r request) build(ctx context.Context, processor, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", r.flags, "-o", binary, r.pkg)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+processor)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, text)
	}
	return nil
}
