package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Version is a Kubernetes version as a provider writes it: v1.36.3,
// v1.36.3-gke.1200, v1.36.3-eks-3a1b2c, v1.36.3+k3s1. The zero Version means
// "not known".
//
// Suffix is what follows the patch, with its leading - or +. A vendor's suffix
// breaks ties between equal patches and is never a pre-release; only the
// upstream words alpha, beta and rc are.
type Version struct {
	Major, Minor, Patch int
	Suffix              string
}

// ParseVersion reads "v1.36.3-gke.1200", with or without the v. Where a
// provider names only a minor ("1.36", as EKS does) the patch is 0, which as a
// floor means any patch of that minor.
func ParseVersion(text string) (v Version, ok bool) {
	core := strings.TrimPrefix(text, "v")
	if i := strings.IndexAny(core, "-+"); i >= 0 {
		core, v.Suffix = core[:i], core[i:]
	}
	fields := strings.Split(core, ".")
	if len(fields) < 2 || len(fields) > 3 || len(v.Suffix) == 1 {
		return Version{}, false
	}
	numbers := [3]int{}
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 16)
		if err != nil {
			return Version{}, false
		}
		numbers[i] = int(n)
	}
	v.Major, v.Minor, v.Patch = numbers[0], numbers[1], numbers[2]
	return v, true
}

// String is the canonical form, "v1.36.3-gke.1200"; of the zero Version, "unknown".
func (v Version) String() string {
	if v.IsZero() {
		return "unknown"
	}
	return fmt.Sprintf("v%d.%d.%d%s", v.Major, v.Minor, v.Patch, v.Suffix)
}

// IsZero tells whether the version is not known.
func (v Version) IsZero() bool { return v == Version{} }

// MinorName is how people name the minor: "1.36".
func (v Version) MinorName() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// AnyPatch is what is wanted of a version where the provider picks the patch: the
// lowest that its minor has.
func (v Version) AnyPatch() Version { return Version{Major: v.Major, Minor: v.Minor} }

// SameMinor tells whether both are of one minor.
func (v Version) SameMinor(w Version) bool { return v.Major == w.Major && v.Minor == w.Minor }

// Compare orders versions: by number, then by suffix.
func (v Version) Compare(w Version) int {
	return cmp.Or(
		cmp.Compare(v.Major, w.Major),
		cmp.Compare(v.Minor, w.Minor),
		cmp.Compare(v.Patch, w.Patch),
		compareSuffixes(v.Suffix, w.Suffix),
	)
}

// Less tells whether v comes before w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

// Reaches tells whether v satisfies the wanted version: ahead counts as there,
// for nothing is ever moved back. An unknown version reaches nothing.
func (v Version) Reaches(want Version) bool { return !v.IsZero() && !v.Less(want) }

// compareSuffixes orders pre-releases before no suffix before vendor suffixes,
// and within each part by part: -gke.900 < -gke.1200, +k3s2 < +k3s10.
func compareSuffixes(a, b string) int {
	if a == b {
		return 0 // as most are: thousands of versions are compared at a time
	}
	return cmp.Or(
		cmp.Compare(suffixRank(a), suffixRank(b)),
		slices.CompareFunc(suffixParts(a), suffixParts(b), compareParts),
	)
}

func suffixRank(suffix string) int {
	switch {
	case suffix == "":
		return 1
	case IsPreRelease(suffix):
		return 0
	default:
		return 2
	}
}

// IsPreRelease tells whether a suffix is one of upstream's pre-releases:
// -alpha.N, -beta.N, -rc.N; vendors also write them without the dot.
func IsPreRelease(suffix string) bool {
	parts := suffixParts(suffix)
	if len(parts) < 2 || classOf(rune(parts[1][0])) != digit {
		return false
	}
	return slices.Contains([]string{"alpha", "beta", "rc"}, parts[0]) && suffix[0] == '-'
}

// suffixParts are a suffix's runs of digits and runs of letters.
func suffixParts(suffix string) []string {
	var parts []string
	before := separator
	for _, r := range suffix {
		now := classOf(r)
		switch {
		case now == separator:
		case now == before:
			parts[len(parts)-1] += string(r)
		default:
			parts = append(parts, string(r))
		}
		before = now
	}
	return parts
}

// compareParts orders numbers by value, and before words. A number can be wider
// than an int, as where a vendor writes a date and a time.
func compareParts(a, b string) int {
	if classOf(rune(a[0])) == digit && classOf(rune(b[0])) == digit {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}
	return strings.Compare(a, b) // digits come before letters
}

// class is what part of a suffix a rune belongs to.
type class int

const (
	separator class = iota
	digit
	letter
)

func classOf(r rune) class {
	switch {
	case strings.ContainsRune("-+.", r):
		return separator
	case '0' <= r && r <= '9':
		return digit
	default:
		return letter
	}
}
