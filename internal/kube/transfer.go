package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Import takes every artefact out of a tar file: one that Export wrote, an
// official kubernetes-server-OS-ARCH.tar.gz or etcd archive, or any other in
// which a folder holds all commands of an artefact. Their versions are what
// they say themselves. It keeps all or nothing.
func (s *Store) Import(ctx context.Context, file string) ([]Entry, error) {
	job := s.console.begin("import")
	defer job.end()
	found, err := s.importFile(ctx, file, job)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", file, err)
	}
	return found, nil
}

func (s *Store) importFile(ctx context.Context, file string, job *job) ([]Entry, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file")
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file; pack the commands with tar")
	}
	if err := s.needSpace(s.Dir, uint64(info.Size())*unpackedSize, "unpacking", "XDG_CACHE_HOME"); err != nil {
		return nil, err
	}
	shop, err := s.open(ctx, filepath.Join(s.Dir, "import"), "import")
	if err != nil {
		return nil, err
	}
	defer shop.close()
	job.report("unpacking " + filepath.Base(file))
	folders, err := unpackCommands(file, shop.into)
	if err != nil {
		return nil, err
	}
	crates, err := sortOut(ctx, folders, shop.scratch)
	if err != nil {
		return nil, err
	}
	return s.keep(ctx, crates)
}

// unpackedSize is how many times larger than the file its content may be:
// binaries pack to a third.
const unpackedSize = 4

// A crate is an artefact found in an archive.
type crate struct {
	Artefact
	dir string
}

// sortOut finds the artefacts in the folders of an archive.
func sortOut(ctx context.Context, folders map[string]string, scratch string) ([]crate, error) {
	var crates []crate
	for _, name := range sortedKeys(folders) {
		for _, p := range products() {
			missing := slices.DeleteFunc(slices.Clone(p.commands), func(command string) bool {
				_, err := os.Stat(filepath.Join(folders[name], command))
				return err == nil
			})
			switch {
			case len(missing) == len(p.commands):
				continue
			case len(missing) > 0:
				return nil, fmt.Errorf("its folder %s has a part of %s: %s missing", name, p.name, isOrAre(missing))
			}
			a, err := identify(ctx, p, folders[name], scratch)
			if err != nil {
				return nil, err
			}
			crates = append(crates, crate{a, folders[name]})
		}
	}
	if len(crates) == 0 {
		return nil, fmt.Errorf("no folder in it has the commands of %s, %s or %s", Kubernetes, Etcd, Kwok)
	}
	return crates, nil
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

// identify asks the first command and holds the others to its answer.
func identify(ctx context.Context, p product, dir, scratch string) (Artefact, error) {
	version, err := askVersion(ctx, filepath.Join(dir, p.commands[0]), scratch)
	if err != nil {
		return Artefact{}, err
	}
	a := Artefact{Name: p.name, Version: version}
	if !isRelease(version) {
		return Artefact{}, fmt.Errorf("%s says it is %s, which is no release", p.commands[0], version)
	}
	return a, checkCommands(ctx, a, dir, scratch)
}

// keep moves the artefacts to their places, one after the other.
func (s *Store) keep(ctx context.Context, crates []crate) ([]Entry, error) {
	var kept []Entry
	for _, c := range crates {
		dir, err := s.keepOne(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("keep %s: %w", c.Artefact, err)
		}
		e, _ := readEntry(dir)
		kept = append(kept, e)
	}
	return kept, nil
}

func (s *Store) keepOne(ctx context.Context, c crate) (string, error) {
	shop, err := s.open(ctx, s.home(c.Artefact), c.String())
	if err != nil {
		return "", err
	}
	defer shop.close()
	names := c.product().commands
	if c.Name == Kubernetes {
		names = append(names, multicallName)
	}
	for _, name := range names {
		err := os.Rename(filepath.Join(c.dir, name), filepath.Join(shop.into, name))
		if name == multicallName && errors.Is(err, fs.ErrNotExist) {
			continue // official commands are a file each
		}
		if err != nil {
			return "", err
		}
	}
	return shop.publish(newManifest(c.Artefact, Imported))
}

// Export packs artefacts of the store into a file for Import.
func (s *Store) Export(file string, artefacts []Artefact) ([]Entry, error) {
	var entries []Entry
	for _, a := range artefacts {
		e, ok := s.find(a)
		if !ok {
			return nil, fmt.Errorf("export %s: it is not in %s: get it first, with refit kube get", a, s.Dir)
		}
		entries = append(entries, e)
	}
	job := s.console.begin("export")
	defer job.end()
	job.report("packing " + filepath.Base(file))
	if err := writeFile(file, entries); err != nil {
		return nil, fmt.Errorf("export to %s: %w", file, err)
	}
	return entries, nil
}

// writeFile writes beside the file and renames, so that it is whole or not there.
func writeFile(file string, entries []Entry) error {
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }() // which fails once it is renamed
	err = errors.Join(writeArchive(out, entries), out.Chmod(0o644), out.Sync(), out.Close())
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}
