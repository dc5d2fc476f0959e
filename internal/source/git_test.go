package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// repository is a bare one with a file.
type repository struct {
	t    *testing.T
	bare string
}

const declared = "# payments\r\nmodule \"eu_1\" {\r\n  version   =  \"1.36\" # é\r\n}\r\nmodule \"eu_2\" { version = \"1.36\" }\r\n"

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t: t, bare: filepath.Join(t.TempDir(), "infra.git")}
	r.git("", "init", "-q", "--bare", "-b", "main", "--template=", r.bare)
	// Nothing here is to outlast the test: neither written through to the disk nor packed.
	config, err := os.OpenFile(filepath.Join(r.bare, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.WriteString("[core]\n\tfsync = none\n[receive]\n\tautogc = false\n")
	if err := errors.Join(err, config.Close()); err != nil {
		t.Fatal(err)
	}
	r.push("Begin", "100755 infra/eks.tf", declared, "100644 README.md", "infra\n", "120000 link.tf", "/etc/passwd")
	return r
}

func (r repository) git(input string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_DIR="+r.bare), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// push is somebody's commit of files, each a mode and a name, and what is in it. It
// takes one process, where a clone takes a dozen.
func (r repository) push(message string, files ...string) {
	r.t.Helper()
	var stream strings.Builder
	fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter ann <a@x> 1793000000 +0000\ndata %d\n%s\n", len(message), message)
	if message != "Begin" {
		stream.WriteString("from refs/heads/main^0\n")
	}
	for file := range slices.Chunk(files, 2) {
		mode, name, _ := strings.Cut(file[0], " ")
		fmt.Fprintf(&stream, "M %s inline %s\ndata %d\n%s\n", mode, name, len(file[1]), file[1])
	}
	r.git(stream.String(), "fast-import", "--quiet")
}

func (r repository) file() string { return r.git("", "show", "main:infra/eks.tf") }

func (r repository) log() []string {
	return strings.Fields(r.git("", "log", "--format=%f", "main"))
}

func (r repository) ref() fleet.SourceRef {
	return fleet.SourceRef{URL: r.bare, File: "infra/eks.tf", Attribute: "module.eu_1.version"}
}

func (r repository) open() *Git {
	return &Git{Prefixes: []string{filepath.Dir(r.bare)}, Clock: clock.RealClock{}}
}

// await reads until it is known what a place says, or why not.
func await(t *testing.T, g *Git, what fleet.SourceRef) fleet.Source {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if s := g.Seen(what, time.Minute); !strings.Contains(s.Why.Message, "is being read") {
			return s
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatal("it is not read")
	return fleet.Source{}
}

// TestSeen: the newest commit is read, and what cannot or must not be is refused.
func TestSeen(t *testing.T) {
	r := newRepository(t)
	g := r.open()
	first := g.Seen(r.ref(), time.Minute)
	if first.Why.Code != fleet.SourceUnreachable || first.Why.Message != "repository "+r.bare+" is being read" || !first.At.IsZero() {
		t.Errorf("at first: %+v", first)
	}
	s := await(t, g, r.ref())
	if s.Says != "1.36" || s.Place() != "infra/eks.tf:3" || !s.Why.IsZero() || s.At.IsZero() {
		t.Errorf("seen: %+v", s)
	}
	if want := strings.TrimSpace(r.git("", "rev-parse", "main")); s.Commit != want {
		t.Errorf("commit %s, want %s", s.Commit, want)
	}
	for _, test := range []struct {
		name   string
		change func(*fleet.SourceRef)
		code   fleet.Code
		want   string
	}{
		{"another file", func(s *fleet.SourceRef) { s.File = "README.md" }, fleet.SourceRefused, "README.md:1: "},
		{"no file", func(s *fleet.SourceRef) { s.File = "infra/no.tf" }, fleet.SourceRefused, "there is no infra/no.tf"},
		{"a folder", func(s *fleet.SourceRef) { s.File = "infra" }, fleet.SourceRefused, "infra is no plain file"},
		{"a link", func(s *fleet.SourceRef) { s.File = "link.tf" }, fleet.SourceRefused, "link.tf is no plain file"},
		{"no branch", func(s *fleet.SourceRef) { s.Branch = "prod" }, fleet.SourceUnreachable, "the repository has no branch prod"},
		{"a branch", func(s *fleet.SourceRef) { s.Branch = "main" }, "", ""},
		{"no repository", func(s *fleet.SourceRef) { s.URL += "x" }, fleet.SourceUnreachable, "not found"},
		{"not listed", func(s *fleet.SourceRef) { s.URL = "/srv" }, fleet.SourceRefused, "repository /srv" + " is not among those that Refit may use"},
	} {
		t.Run(test.name, func(t *testing.T) {
			what := r.ref()
			test.change(&what)
			s := await(t, g, what)
			if s.Why.Code != test.code || !strings.Contains(s.Why.Message, test.want) {
				t.Errorf("seen: %+v", s)
			}
		})
	}
}

// TestAdmits: what is below a prefix, and nothing that only looks like it.
func TestAdmits(t *testing.T) {
	g := &Git{Prefixes: []string{"https://git.example/infra", "/srv/git/"}}
	for address, want := range map[string]bool{
		"https://git.example/infra":            true,
		"https://GIT.example/infra/eks.git":    true,
		"/srv/git/eks.git":                     true,
		"file:///srv/git/eks.git/":             true,
		"https://git.example/infra-evil":       false,
		"https://git.example/infra/../other":   false,
		"https://git.example.evil/infra":       false,
		"https://user:pw@git.example/infra":    false,
		"http://git.example/infra":             false,
		"ssh://git.example/infra":              false,
		"https://git.example/infra/a?b=c":      false,
		"https://git.example/infra/%2e%2e/%2f": false,
		"/srv/git/../../etc":                   false,
		"/srv/git2":                            false,
		"srv/git/x":                            false,
	} {
		err := g.admits(address)
		if (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("a password is told: %v", err)
		}
	}
	if err := (&Git{}).admits("/srv/git"); err == nil {
		t.Error("without a list anything may be used")
	}
}

// meddling lets somebody else push right before we do: so many times.
type meddling struct {
	transport.Transport

	before func()
	times  int
}

func (m *meddling) NewReceivePackSession(e *transport.Endpoint, a transport.AuthMethod) (transport.ReceivePackSession, error) {
	session, err := m.Transport.NewReceivePackSession(e, a)
	if m.times--; m.times < 0 || err != nil {
		return session, err
	}
	if _, err := session.AdvertisedReferences(); err != nil { // what we are told is old by then
		return nil, err
	}
	m.before()
	return session, nil
}

func want(from, to fleet.Declared) wish {
	return wish{from: from, to: to, message: "Upgrade eu-1\n\nRelease: 2026.11\n"}
}

// TestWrite changes one value, in one commit.
func TestWrite(t *testing.T) {
	r := newRepository(t)
	g := r.open()
	if err := g.Write(t.Context(), r.ref(), "1.36", "1.37", "Upgrade eu-1\n\nRelease: 2026.11\n"); err != nil {
		t.Fatal(err)
	}
	if got, want := r.file(), strings.Replace(declared, `"1.36"`, `"1.37"`, 1); got != want {
		t.Errorf("file is\n%q\nwant\n%q", got, want)
	}
	if got := strings.Join(r.log(), " "); got != "Upgrade-eu-1 Begin" {
		t.Errorf("commits: %s", got)
	}
	if got := r.git("", "show", "--format=%an%n%B", "--summary", "--stat", "main"); !strings.HasPrefix(got, "Refit\nUpgrade eu-1\n\nRelease: 2026.11\n") ||
		!strings.Contains(got, "1 file changed, 1 insertion(+), 1 deletion(-)") || strings.Contains(got, "mode change") {
		t.Errorf("commit:\n%s", got)
	}
	r.git("", "fsck", "--strict", "--full")
	if s := g.Seen(r.ref(), time.Minute); s.Says != "1.37" || s.Commit != strings.TrimSpace(r.git("", "rev-parse", "main")) {
		t.Errorf("seen at once: %+v", s)
	}
	// The answer got lost: it is written once all the same.
	if err := g.Write(t.Context(), r.ref(), "1.36", "1.37", "again"); err != nil || len(r.log()) != 2 {
		t.Errorf("again: %v, commits %v", err, r.log())
	}
	if err := g.Write(t.Context(), r.ref(), "1.36", "1.38", "late"); !errors.Is(err, ErrChanged) || len(r.log()) != 2 {
		t.Errorf("of what was changed: %v, commits %v", err, r.log())
	}
}

// TestSomebodyPushesFirst: nothing of theirs is lost, and a value that they changed
// is theirs.
func TestSomebodyPushesFirst(t *testing.T) {
	for _, test := range []struct {
		name, theirs string
		times        int
		want         string
		commits      int
	}{
		{"another line", strings.Replace(declared, "# payments", "# shop", 1), 1, strings.NewReplacer("# payments", "# shop", `=  "1.36"`, `=  "1.37"`).Replace(declared), 3},
		{"a line more", "# new\r\n" + declared, 1, "# new\r\n" + strings.Replace(declared, `"1.36"`, `"1.37"`, 1), 3},
		{"the value", strings.Replace(declared, `"1.36"`, `"1.35"`, 1), 1, strings.Replace(declared, `"1.36"`, `"1.35"`, 1), 2},
		{"what we would have written", strings.Replace(declared, `"1.36"`, `"1.37"`, 1), 1, strings.Replace(declared, `"1.36"`, `"1.37"`, 1), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepository(t)
			to, err := dial(r.bare, "")
			if err != nil {
				t.Fatal(err)
			}
			to.client = &meddling{Transport: to.client, times: test.times, before: func() {
				r.push("Theirs", "100755 infra/eks.tf", test.theirs)
			}}
			err = r.open().retry(t.Context(), to, r.ref(), want("1.36", "1.37"))
			if changed := test.name == "the value"; errors.Is(err, ErrChanged) != changed || err != nil && !changed {
				t.Errorf("write: %v", err)
			}
			if got := r.file(); got != test.want {
				t.Errorf("file is\n%q\nwant\n%q", got, test.want)
			}
			if got := r.log(); len(got) != test.commits || got[len(got)-2] != "Theirs" {
				t.Errorf("commits: %v", got)
			}
		})
	}
	t.Run("again and again", func(t *testing.T) {
		r := newRepository(t)
		to, err := dial(r.bare, "main")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		to.client = &meddling{Transport: to.client, times: 99, before: func() {
			n++
			r.push("Theirs", "100644 README.md", strings.Repeat("x", n))
		}}
		err = r.open().retry(t.Context(), to, r.ref(), want("1.36", "1.37"))
		if fault := provider.AsFault(err); n != tries || fault.Class != provider.Retry || !errors.Is(err, errMoved) {
			t.Errorf("after %d pushes: %v", n, err)
		}
		if r.file() != declared {
			t.Error("something was written")
		}
	})
}

// TestRefusedPush: a server that does not want it is no reason to try at once again.
func TestRefusedPush(t *testing.T) {
	r := newRepository(t)
	hook := "#!/bin/sh\necho asked >> asked\nexit 1\n"
	if err := os.Mkdir(filepath.Join(r.bare, "hooks"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.bare, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	err := r.open().Write(t.Context(), r.ref(), "1.36", "1.37", "m")
	fault := provider.AsFault(err)
	if fault.Class != provider.Wait || fault.After < time.Minute || fault.Why.Code != fleet.SourceRefused || fault.Why.Fix == "" {
		t.Errorf("write: %+v", fault)
	}
	if want := "repository " + r.bare + ": the push is refused on branch main: pre-receive hook declined"; fault.Why.Message != want {
		t.Errorf("it says %q, want %q", fault.Why.Message, want)
	}
	asked, _ := os.ReadFile(filepath.Join(r.bare, "asked"))
	if string(asked) != "asked\n" || r.file() != declared {
		t.Errorf("the hook was asked %q", asked)
	}
}
