package fleet

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// SourceMode is what is done about the place where a member's version is declared.
type SourceMode string

// The modes; without a source there is none.
const (
	Report    SourceMode = "Report"
	WriteBack SourceMode = "WriteBack"
)

// SourceRef names the place: an attribute of a file of a Git repository.
type SourceRef struct {
	URL, Branch, File, Attribute string
}

// Source is the place where a member's version is declared, as it was seen.
type Source struct {
	SourceRef

	// Mode is empty where the member has no source.
	Mode SourceMode
	// Says is the value; empty where it is not known, and Why says why.
	Says Declared
	Why  Reason
	// Bare marks a value that is written as a number, without quotes.
	Bare bool
	Line int
	// Commit that was read, At that time.
	Commit string
	At     time.Time
}

// Place is file and line, as an editor takes them.
func (s Source) Place() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// Wants is a version in the form that the source has its own in, or why it cannot be
// written so.
func (s Source) Wants(v Version) (Declared, Reason) {
	to := s.Says.Like(v)
	if s.Bare && strings.HasSuffix(string(to), "0") {
		return "", Reason{
			Code: SourceRefused, Object: "source " + s.Place(),
			Message: fmt.Sprintf("%s has %s without quotes, and %s without quotes is %s", s.Place(), s.Says, to, strings.TrimRight(string(to), "0")),
			Fix:     fmt.Sprintf("put the value of %s in quotes", s.Attribute),
		}
	}
	return to, Reason{}
}

// Declared is a version as a file has it: "1.36", "v1.36.3". It is as precise as it is
// written.
type Declared string

// Version that it means; zero where it is none.
func (d Declared) Version() Version {
	v, _ := ParseVersion(string(d))
	return v
}

// Like is another version in the same form: with or without the v, patch and suffix.
func (d Declared) Like(v Version) Declared {
	text := v.MinorName()
	if strings.Count(strings.TrimSuffix(string(d), d.Version().Suffix), ".") > 1 {
		text += fmt.Sprintf(".%d", v.Patch)
		if d.Version().Suffix != "" {
			text += v.Suffix
		}
	}
	if strings.HasPrefix(string(d), "v") {
		text = "v" + text
	}
	return Declared(text)
}

// Declares compares what is declared with a version, as precisely as it is declared,
// and by minor where the provider picks the patch: -1 where less is declared, and 1
// where more is.
func (c Cluster) Declares(d Declared, v Version) int {
	says, runs := d.Version(), d.Like(v).Version()
	if c.PicksPatch {
		return cmp.Or(cmp.Compare(says.Major, runs.Major), cmp.Compare(says.Minor, runs.Minor))
	}
	return says.Compare(runs)
}

// Drift is how the source differs from a version that runs; zero where it does not,
// or is not known.
func (c Cluster) Drift(runs Version) Reason {
	if c.Source.Says == "" || runs.IsZero() || c.Declares(c.Source.Says, runs) == 0 {
		return Reason{}
	}
	return Reason{
		Code: SourceDrift, Object: "source " + c.Source.Place(),
		Message: fmt.Sprintf("%s says %q, the cluster runs %s", c.Source.Place(), c.Source.Says, runs),
		Fix:     fmt.Sprintf("set it to %q where that is what shall be", c.Source.Says.Like(runs)),
	}
}
