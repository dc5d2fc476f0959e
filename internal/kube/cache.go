package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Where an artefact came from. Get prefers them in this order.
const (
	Official = "official" // downloaded from the release servers
	Imported = "imported" // taken from a file
	Built    = "built"    // compiled from the published modules
)

// manifestFile lies in every complete folder.
const manifestFile = "refit.json"

// A manifest says what a folder holds.
type manifest struct {
	Artefact
	Origin string    `json:"origin"`
	Since  time.Time `json:"since"`
	// Of a build:
	Go     string `json:"go,omitempty"`
	Module string `json:"module,omitempty"` // hash of the generated module and the flags
	Recipe string `json:"recipe,omitempty"` // that and the Go version
}

func newManifest(a Artefact, origin string) manifest {
	return manifest{Artefact: a, Origin: origin, Since: time.Now().UTC().Truncate(time.Second)}
}

// folder is the last part of a complete folder's path.
func (m manifest) folder() string { return cmp.Or(m.Recipe, m.Origin) }

// An Entry is one complete folder of a store.
type Entry struct {
	Artefact
	Origin   string
	Platform string // linux-amd64
	Dir      string
	Since    time.Time
	Size     int64  // in bytes
	module   string // of a build
}

// home is where the folders of an artefact are that run on this machine.
func (s *Store) home(a Artefact) string {
	return filepath.Join(s.Dir, a.product().folder, a.Version, platform())
}

// find looks for the best complete folder. A build by another Go version will
// do: nobody wants to wait for minutes because Go got a patch release. A build
// of another module will not, for it may lack something.
func (s *Store) find(a Artefact) (Entry, bool) {
	home := s.home(a)
	for _, origin := range []string{Official, Imported} {
		if e, ok := readEntry(filepath.Join(home, origin)); ok && e.Artefact == a {
			return e, true
		}
	}
	builds := slices.DeleteFunc(readEntries(home), func(e Entry) bool {
		return e.Artefact != a || e.Origin != Built || e.module != moduleHash(a)
	})
	if len(builds) == 0 {
		return Entry{}, false
	}
	return slices.MaxFunc(builds, func(a, b Entry) int { return a.Since.Compare(b.Since) }), true
}

// List is everything that is complete, for whatever platform, newest version first.
func (s *Store) List() ([]Entry, error) {
	var list []Entry
	for _, p := range products() {
		var found []Entry
		homes, err := filepath.Glob(filepath.Join(s.Dir, p.folder, "*", "*"))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s.Dir, err)
		}
		for _, home := range homes {
			found = append(found, readEntries(home)...)
		}
		slices.SortStableFunc(found, func(a, b Entry) int { return compareVersions(b.Version, a.Version) })
		list = append(list, found...)
	}
	return list, nil
}

// readEntries skips what is no complete folder; a folder that is not there has none.
func readEntries(home string) []Entry {
	var entries []Entry
	folders, _ := os.ReadDir(home)
	for _, folder := range folders {
		if e, ok := readEntry(filepath.Join(home, folder.Name())); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// readEntry is false for a folder of which somebody has deleted a part: it
// will be brought again.
func readEntry(dir string) (Entry, bool) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return Entry{}, false
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.folder() != filepath.Base(dir) {
		return Entry{}, false // .partial, which is not complete
	}
	for _, command := range m.product().commands {
		if _, err := os.Stat(filepath.Join(dir, command)); err != nil {
			return Entry{}, false
		}
	}
	return Entry{
		Artefact: m.Artefact, Origin: m.Origin, Platform: filepath.Base(filepath.Dir(dir)),
		Dir: dir, Since: m.Since, Size: sizeOf(dir), module: m.Module,
	}, true
}

// sizeOf counts a file once, however many symlinks name it.
func sizeOf(dir string) int64 {
	var size int64
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size
}
