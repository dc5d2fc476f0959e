package kube

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KnownVersions are versions of Kubernetes whose release or module was seen to
// be there, oldest first. There are more; a server is asked for any.
func KnownVersions() []string {
	return []string{"v1.35.4", "v1.36.1", "v1.36.3", "v1.37.0", "v1.37.1", "v1.37.2"}
}

// A release is a version in numbers.
type release struct{ major, minor, patch int }

func (r release) String() string { return fmt.Sprintf("v%d.%d.%d", r.major, r.minor, r.patch) }

// parseRelease reads what a person may write for a release: v1.36.3, 1.36.3,
// v1.36, v1.36.3-rc.1. Only String's form is one; see isRelease.
func parseRelease(text string) (r release, ok bool) {
	numbers, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	fields := strings.Split(numbers, ".")
	if len(fields) != 2 && len(fields) != 3 {
		return release{}, false
	}
	for i, into := range []*int{&r.major, &r.minor, &r.patch}[:len(fields)] {
		n, err := strconv.ParseUint(fields[i], 10, 16)
		if err != nil {
			return release{}, false
		}
		*into = int(n)
	}
	return r, true
}

func isRelease(text string) bool {
	r, ok := parseRelease(text)
	return ok && r.String() == text
}

// Check refuses what cannot be a version before anything is asked for it.
func (s *Store) Check(ctx context.Context, a Artefact) error {
	if a.product().name == "" {
		return fmt.Errorf("artefact %q: there are %s, %s and %s", a.Name, Kubernetes, Etcd, Kwok)
	}
	if isRelease(a.Version) {
		return nil
	}
	form := "write it with three numbers, like v1.36.3"
	switch r, ok := parseRelease(a.Version); {
	case !ok:
	case strings.Contains(a.Version, "-"):
		form = "only upstream releases can be had, like " + r.String()
	case strings.Count(a.Version, ".") == 1:
		if newest := newestOf(s.known(ctx, a), r); newest != "" {
			form = "write it with three numbers; the newest known one is " + newest
		}
	default:
		form = "write it as " + r.String()
	}
	return fmt.Errorf("%s version %q: %s", a.Name, a.Version, form)
}

// unknownVersion adds the nearest known versions to an error that may come
// from there being none of that number.
func (s *Store) unknownVersion(ctx context.Context, a Artefact, err error) error {
	known := s.known(ctx, a)
	if ctx.Err() != nil || slices.Contains(known, a.Version) {
		return err
	}
	if near := nearest(known, a.Version, 3); len(near) > 0 {
		return fmt.Errorf("%w; the nearest known versions are %s", err, strings.Join(near, ", "))
	}
	return err
}

// known lists versions that there are: those that the module proxy lists,
// those in the store, and of Kubernetes those known to us. No list
// is complete.
func (s *Store) known(ctx context.Context, a Artefact) []string {
	versions := listedVersions(ctx, a)
	if entries, err := s.List(); err == nil {
		for _, e := range entries {
			if e.Name == a.Name {
				versions = append(versions, e.Version)
			}
		}
	}
	if a.Name == Kubernetes {
		versions = append(versions, KnownVersions()...)
	}
	slices.SortFunc(versions, compareVersions)
	return slices.Compact(versions)
}

// listedVersions asks the module proxy; without one, or Go, there are none.
func listedVersions(ctx context.Context, a Artefact) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-versions", a.product().module)
	cmd.Dir = "/"
	cmd.Env = goEnviron(nil)
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(v string) bool { return !isRelease(v) })
}

// newestOf is the newest version of a minor, or "".
func newestOf(versions []string, minor release) string {
	newest := ""
	for _, text := range versions { // oldest first
		if r, ok := parseRelease(text); ok && r.major == minor.major && r.minor == minor.minor {
			newest = text
		}
	}
	return newest
}

// nearest is the versions with the least distance, nearest first: a minor
// counts more than any patch.
func nearest(versions []string, to string, n int) []string {
	target, _ := parseRelease(to)
	distance := func(text string) int {
		r, _ := parseRelease(text)
		return abs(r.major-target.major)*1e6 + abs(r.minor-target.minor)*1e3 + abs(r.patch-target.patch)
	}
	sorted := slices.Clone(versions)
	slices.SortStableFunc(sorted, func(a, b string) int { return distance(a) - distance(b) })
	return sorted[:min(n, len(sorted))]
}

func abs(n int) int { return max(n, -n) }

func compareVersions(a, b string) int {
	v, _ := parseRelease(a)
	w, _ := parseRelease(b)
	return cmp.Or(cmp.Compare(v.major, w.major), cmp.Compare(v.minor, w.minor), cmp.Compare(v.patch, w.patch))
}
