// Package kube brings the real binaries that local members run: Kubernetes of
// any version, etcd and kwok.
//
// A [Store] is a folder that any number of processes share. [Store.Get] looks
// there first. What is missing is downloaded from the official release servers
// and verified by the checksum published beside it; where they cannot be
// reached, and for kwok, of which no checksum is published, it is built from the
// published Go modules, which takes minutes; and where there is neither network nor Go, [Store.Import] takes it from a file
// that [Store.Export] wrote elsewhere.
//
// The layout is DIR/kube/v1.36.3/linux-amd64/WAY, with DIR/etcd and DIR/kwok
// alike. WAY is "official", "imported", or the recipe of a build. A folder of
// that name is complete, always: work is done in the folder .partial beside
// it, under a lock, and renamed when every command in it was run and told the
// right version.
//
//	home/.lock      held by the process that works here, and by its children
//	home/.partial   its work; left over if it was killed, removed by the next
//	home/official   complete
package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Store keeps artefacts in a folder.
type Store struct {
	Dir     string
	Sources Sources

	console   *console
	fetch     fetcher
	freeSpace func(dir string) (uint64, error)
}

// NewStore is a store in a folder, made when first needed. Out is told, in
// words, what takes longer than two seconds.
func NewStore(dir string, out io.Writer) *Store {
	return &Store{
		Dir:       dir,
		Sources:   OfficialSources(),
		console:   newConsole(out),
		fetch:     newFetcher(),
		freeSpace: freeSpace,
	}
}

// DefaultDir is where users' stores are: $XDG_CACHE_HOME/refit, else ~/.cache/refit.
func DefaultDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set XDG_CACHE_HOME to one): %w", err)
	}
	return filepath.Join(dir, "refit"), nil
}

// BaseURLVariable names a mirror to download from, in the environment.
const BaseURLVariable = "REFIT_KUBE_BASE_URL"

// UserStore is the store that a user's environment asks for.
func UserStore(out io.Writer) (*Store, error) {
	dir, err := DefaultDir()
	if err != nil {
		return nil, err
	}
	s := NewStore(dir, out)
	if base := os.Getenv(BaseURLVariable); base != "" {
		if s.Sources, err = MirrorSources(base); err != nil {
			return nil, fmt.Errorf("%s: %w", BaseURLVariable, err)
		}
	}
	return s, nil
}

// Get returns the folder with the commands of an artefact. It brings them
// there if need be; of several callers one does, and the others wait for it.
func (s *Store) Get(ctx context.Context, a Artefact) (string, error) {
	if err := s.Check(ctx, a); err != nil {
		return "", err
	}
	if found, ok := s.find(a); ok {
		return found.Dir, nil
	}
	shop, err := s.open(ctx, s.home(a), a.String())
	if err != nil {
		return "", fmt.Errorf("get %s: %w", a, err)
	}
	defer shop.close()
	if found, ok := s.find(a); ok { // while we waited for the lock
		return found.Dir, nil
	}
	dir, err := s.bring(ctx, a, shop)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", a, err)
	}
	return dir, nil
}

// What work may occupy, besides what a build does.
const (
	downloadSpace = 600e6 // the four official binaries have 350 MB
	moduleSpace   = 2e9   // in Go's module cache
)

func (s *Store) bring(ctx context.Context, a Artefact, shop *workshop) (string, error) {
	if err := s.needSpace(s.Dir, downloadSpace, "downloading", "XDG_CACHE_HOME"); err != nil {
		return "", err
	}
	job := s.console.begin(a.String())
	defer job.end()
	notDownloaded := s.download(ctx, a, shop, job)
	if notDownloaded == nil {
		return s.finish(ctx, shop, newManifest(a, Official), job)
	}
	if ctx.Err() != nil {
		return "", notDownloaded
	}
	warning := ""
	if wrong := (*checksumError)(nil); errors.As(notDownloaded, &wrong) {
		warning = "WARNING: "
	}
	job.say("%snot downloaded: %v; building it from its Go modules, which can take minutes", warning, notDownloaded)
	made, err := s.build(ctx, a, shop, job)
	if err != nil {
		return "", fmt.Errorf("not downloaded: %w; not built: %w", notDownloaded, err)
	}
	return s.finish(ctx, shop, made, job)
}

func (s *Store) build(ctx context.Context, a Artefact, shop *workshop, job *job) (manifest, error) {
	env, err := goEnv(ctx)
	if err != nil {
		return manifest{}, err
	}
	if err := s.needSpace(s.Dir, a.product().space, "building", "XDG_CACHE_HOME"); err != nil {
		return manifest{}, err
	}
	if err := s.needSpace(env.GOMODCACHE, moduleSpace, "fetching Go modules", "GOMODCACHE"); err != nil {
		return manifest{}, err
	}
	if err := shop.clear(); err != nil { // of what the download left
		return manifest{}, err
	}
	b := build{Artefact: a, scratch: shop.scratch, into: shop.into, lock: shop.lock, report: job.report, userCache: env.GOCACHE}
	if err := compile(ctx, b); err != nil {
		return manifest{}, s.unknownVersion(ctx, a, err)
	}
	m := newManifest(a, Built)
	m.Go, m.Module, m.Recipe = env.GOVERSION, moduleHash(a), recipe(a, env.GOVERSION)
	return m, nil
}

// finish makes what lies in the workshop the store's, once it is seen to be
// what it should be.
func (s *Store) finish(ctx context.Context, shop *workshop, m manifest, job *job) (string, error) {
	job.report("checking")
	if err := checkCommands(ctx, m.Artefact, shop.into, shop.scratch); err != nil {
		return "", err
	}
	dir, err := shop.publish(m)
	if err != nil {
		return "", err
	}
	job.say("%s, after %s: %s", m.Origin, job.elapsed(), dir)
	return dir, nil
}
