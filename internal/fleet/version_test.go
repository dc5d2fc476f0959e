package fleet_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
)

// version parses what a test is sure of.
func version(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]fleet.Version{
		"v1.36.3":                {Major: 1, Minor: 36, Patch: 3},
		"1.36.3":                 {Major: 1, Minor: 36, Patch: 3},
		"1.36":                   {Major: 1, Minor: 36}, // as EKS names a cluster's version
		"v1.36":                  {Major: 1, Minor: 36},
		"v1.36.3-gke.1200":       {Major: 1, Minor: 36, Patch: 3, Suffix: "-gke.1200"},
		"v1.36.3-eks-3a1b2c":     {Major: 1, Minor: 36, Patch: 3, Suffix: "-eks-3a1b2c"},
		"v1.36.3+k3s1":           {Major: 1, Minor: 36, Patch: 3, Suffix: "+k3s1"},
		"v1.36.3+rke2r1":         {Major: 1, Minor: 36, Patch: 3, Suffix: "+rke2r1"},
		"v1.37.0-alpha.1":        {Major: 1, Minor: 37, Suffix: "-alpha.1"},
		"v1.37.0-rc.0+0a1b2c3d":  {Major: 1, Minor: 37, Suffix: "-rc.0+0a1b2c3d"},
		"v1.36.3-dirty":          {Major: 1, Minor: 36, Patch: 3, Suffix: "-dirty"},
		"v1.36-eks-3a1b2c":       {Major: 1, Minor: 36, Suffix: "-eks-3a1b2c"},
		"v10.65535.0":            {Major: 10, Minor: 65535},
		"v1.36.3-hyphen-in-date": {Major: 1, Minor: 36, Patch: 3, Suffix: "-hyphen-in-date"},
	} {
		if got, ok := fleet.ParseVersion(text); !ok || got != want {
			t.Errorf("ParseVersion(%q) = %#v, %t; want %#v", text, got, ok, want)
		}
	}
}

func TestParseVersionRefuses(t *testing.T) {
	for _, text := range []string{
		"", "v", "1", "v1", "v1.", "v.36", "1.36.", "1..3", "1.36.3.4", "latest", "vv1.36", "V1.36",
		"v1.36.3-", "v1.36.3+", "-1.36", "1.-36", "1.36.x", "1.36. 3", " 1.36", "1.36 ", "1.99999.0", "1.36.99999",
		"1.3６", "0x1.36", "1.36,3", "v1.36.3\n", "-", "+", ".",
	} {
		if got, ok := fleet.ParseVersion(text); ok {
			t.Errorf("ParseVersion(%q) = %v; want it refused", text, got)
		}
	}
}

// TestVersionOrder lists versions from the oldest to the newest.
func TestVersionOrder(t *testing.T) {
	ascending := []string{
		"v1.9.0",
		"v1.35.12",
		"v1.36.0-alpha.0",
		"v1.36.0-alpha.2",
		"v1.36.0-alpha.10",
		"v1.36.0-beta.1",
		"v1.36.0-rc.0",
		"v1.36.0-rc.0+k3s1", // a vendor's build of a pre-release is still one
		"v1.36.0-rc.1",
		"v1.36.0-rc2+k3s1",
		"1.36",
		"v1.36.0+k3s1",
		"v1.36.0+k3s2",
		"v1.36.0+k3s10",
		"v1.36.3",
		"v1.36.3-gke",
		"v1.36.3-gke.0",
		"v1.36.3-gke.0899",
		"v1.36.3-gke.900",
		"v1.36.3-gke.1200",
		"v1.36.3-gke.1200.1",
		"v1.36.3-gke.99999999999999999999", // wider than an int
		"v1.36.3-gke.100000000000000000000",
		"v1.36.10",
		"v1.37.0-rc.1",
		"v1.37.0",
		"v2.0.0",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			v, w := version(t, a), version(t, b)
			if got, want := v.Compare(w), cmp.Compare(i, j); got != want {
				t.Errorf("%s.Compare(%s) = %d; want %d", a, b, got, want)
			}
			if got, want := v.Less(w), i < j; got != want {
				t.Errorf("%s.Less(%s) = %t; want %t", a, b, got, want)
			}
			if got, want := v.Reaches(w), i >= j; got != want {
				t.Errorf("%s.Reaches(%s) = %t; want %t", a, b, got, want)
			}
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	unknown, known := fleet.Version{}, version(t, "v1.36.3")
	if unknown.Reaches(known) || unknown.Reaches(unknown) {
		t.Error("an unknown version reaches something")
	}
	if !unknown.Less(known) {
		t.Error("an unknown version is not older than a known one")
	}
	if got := unknown.String(); got != "unknown" {
		t.Errorf("String of the unknown version is %q", got)
	}
}

func TestVersionInWords(t *testing.T) {
	v := version(t, "1.36.3-gke.1200")
	if got, want := v.String(), "v1.36.3-gke.1200"; got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
	if got, want := v.MinorName(), "1.36"; got != want {
		t.Errorf("MinorName() = %q; want %q", got, want)
	}
	if !v.SameMinor(version(t, "v1.36.9")) || v.SameMinor(version(t, "v1.37.3")) || v.SameMinor(version(t, "v2.36.3")) {
		t.Error("SameMinor looks at something else than major and minor")
	}
}

func TestIsPreRelease(t *testing.T) {
	for suffix, want := range map[string]bool{
		"-alpha.1": true, "-beta.0": true, "-rc.1": true, "-rc.1+k3s1": true, "-rc1+rke2r1": true,
		"": false, "-gke.1": false, "+k3s1": false, "-eks-rc.1": false, "-alphabet": false, "-alphabet.1": false, "-rc": false, "+rc.1": false, "-rc-a": false,
	} {
		if got := fleet.IsPreRelease(suffix); got != want {
			t.Errorf("IsPreRelease(%q) = %t; want %t", suffix, got, want)
		}
	}
}

// TestVersionsAsTheAPIServerTakesThem reads the texts that the rules of the API
// are tested with: whatever the API server admits is a released version here.
func TestVersionsAsTheAPIServerTakesThem(t *testing.T) {
	table, err := os.ReadFile(filepath.Join("..", "..", "api", "v1alpha1", "testdata", "versions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(table)) {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			continue // a comment, or nothing
		}
		rows++
		text, _ := strconv.Unquote(quoted) // quoted, as was just seen
		answers := strings.Fields(line[len(quoted):])
		admission, want := answers[0], answers[1]
		if got := kindOf(text); got != want {
			t.Errorf("%q is %s; want %s", text, got, want)
		}
		if admission == "admitted" && want != "released" || admission == "pre-release" && want != "pre-release" {
			t.Errorf("%q is %s, but to the API server it is %s", text, want, admission)
		}
	}
	if rows == 0 {
		t.Error("the table is empty")
	}
}

func kindOf(text string) string {
	switch v, ok := fleet.ParseVersion(text); {
	case !ok:
		return "unreadable"
	case v.IsZero():
		return "unknown"
	case fleet.IsPreRelease(v.Suffix):
		return "pre-release"
	default:
		return "released"
	}
}

// anyVersion draws from few numbers and segments, so that versions often differ
// in nothing but their suffixes, and there late.
func anyVersion() *rapid.Generator[fleet.Version] {
	segment := rapid.SampledFrom([]string{"0", "2", "10", "007", "1a", "9a", "a", "gke", "k3s2", "k3s10", "rc.1", "123456789012345678901234567890"})
	return rapid.Custom(func(t *rapid.T) fleet.Version {
		v := fleet.Version{Major: 1, Minor: rapid.IntRange(36, 37).Draw(t, "minor")}
		for range rapid.IntRange(0, 3).Draw(t, "segments") {
			v.Suffix += rapid.SampledFrom([]string{"-", "+"}).Draw(t, "separator") + segment.Draw(t, "segment")
		}
		return v
	})
}

func TestVersionsAreParsedBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyVersion().Draw(t, "version")
		if got, ok := fleet.ParseVersion(v.String()); !ok || got != v {
			t.Errorf("ParseVersion(%q) = %v, %t", v, got, ok)
		}
	})
}

// TestVersionsAreOrdered: sorting, maxima and "is it there yet" rest on this.
func TestVersionsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		abc := []fleet.Version{anyVersion().Draw(t, "a"), anyVersion().Draw(t, "b"), anyVersion().Draw(t, "c")}
		slices.SortFunc(abc, fleet.Version.Compare)
		a, b, c := abc[0], abc[1], abc[2]
		if a.Compare(b) > 0 || b.Compare(c) > 0 || a.Compare(c) > 0 {
			t.Errorf("no order: %s %s %s", a, b, c)
		}
		if a.Compare(b) != -b.Compare(a) {
			t.Errorf("%s against %s is not the opposite of %s against %s", a, b, b, a)
		}
		if a.Compare(a) != 0 {
			t.Errorf("%s is not equal to itself", a)
		}
		if a.Compare(b) == 0 && b.Compare(c) == 0 && a.Compare(c) != 0 {
			t.Errorf("%s = %s = %s, but not the first and the last", a, b, c)
		}
	})
}
