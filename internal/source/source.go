// Package source reads and writes the places where the versions of members are
// declared as code: attributes of Terraform files in Git repositories.
//
// A file is looked at as it is in the newest commit of a branch; there is no working
// tree. What is written is one value, in a commit that follows on the one that was
// read.
package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

const (
	// tries is how often a commit is made anew on what somebody else has pushed.
	tries = 5
	// readWithin and writeWithin bound one conversation with a repository, and all of
	// a write.
	readWithin  = 2 * time.Minute
	writeWithin = 45 * time.Second
	// refusedFor is how long a server that refused a push is left alone: people change
	// the rules of branches, if they do, in minutes.
	refusedFor = time.Minute
	// readers is how many repositories are read at once.
	readers = 8
)

// ErrChanged tells that a place does not say any more what it said.
var ErrChanged = errors.New("somebody has changed the declared version")

// Git is where members' versions are declared, as far as an operator lets it be read.
type Git struct {
	// Prefixes are the addresses of repositories, or of what they are in, that may be
	// read and written: a member's spec is no reason to reach a host or a path.
	Prefixes []string
	Clock    clock.PassiveClock

	mu    sync.Mutex
	repos map[repoKey]*repo
	slots chan struct{}
}

type repoKey struct{ url, branch string }

// repo is what was last read of a branch.
type repo struct {
	commit string
	files  map[string]contents
	at     time.Time
	err    error
	// reading tells that somebody is at it.
	reading bool
}

// contents of a file, or why there are none.
type contents struct {
	bytes []byte
	err   error
}

// Seen is what a place said when it was last read, and that it is not known where that
// is longer ago than within. It never waits: what grows old is read meanwhile.
func (g *Git) Seen(what fleet.SourceRef, within time.Duration) fleet.Source {
	if err := g.admits(what.URL); err != nil {
		return refused(what, err, "start Refit with --source-prefix and the repository's address, or name another one in the member's spec.source")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.repo(what)
	file, asked := r.files[what.File]
	if !asked {
		r.files[what.File] = contents{err: errUnread}
	}
	age := g.Clock.Since(r.at)
	if (!asked || age > within/2) && !r.reading {
		r.reading = true
		go g.refresh(what)
	}
	return seen(what, r, file, asked && age <= within)
}

var errUnread = errors.New("it was not read yet")

// seen is what a file says of a place.
func seen(what fleet.SourceRef, r *repo, file contents, lately bool) fleet.Source {
	unknown := fleet.Reason{Code: fleet.SourceUnreachable, Object: "repository " + what.URL}
	switch {
	case r.err != nil:
		unknown.Message = fmt.Sprintf("repository %s: %s", what.URL, r.err)
		unknown.Fix = "see that the repository answers, and that Refit may read it"
		return fleet.Source{SourceRef: what, Why: unknown, At: r.at}
	case !lately || errors.Is(file.err, errUnread):
		unknown.Message = fmt.Sprintf("repository %s is being read", what.URL)
		return fleet.Source{SourceRef: what, Why: unknown}
	case file.err != nil:
		s := refused(what, file.err, "correct the member's spec.source")
		s.At = r.at
		return s
	}
	s := look(what, file.bytes)
	s.Commit, s.At = r.commit, r.at
	return s
}

// look finds the value in a file.
func look(what fleet.SourceRef, file []byte) fleet.Source {
	v, err := find(file, what.File, what.Attribute)
	if err != nil {
		return refused(what, err, "correct the file, or the member's spec.source")
	}
	return fleet.Source{SourceRef: what, Says: v.text, Line: v.line, Bare: v.bare}
}

func refused(what fleet.SourceRef, err error, fix string) fleet.Source {
	return fleet.Source{SourceRef: what, Why: fleet.Reason{Code: fleet.SourceRefused, Object: "repository " + what.URL, Message: err.Error(), Fix: fix}}
}

// repo is a branch's, with the lock held.
func (g *Git) repo(what fleet.SourceRef) *repo {
	if g.repos == nil {
		g.repos, g.slots = map[repoKey]*repo{}, make(chan struct{}, readers)
	}
	key := repoKey{what.URL, what.Branch}
	if g.repos[key] == nil {
		g.repos[key] = &repo{files: map[string]contents{}}
	}
	return g.repos[key]
}

// refresh reads a branch anew.
func (g *Git) refresh(what fleet.SourceRef) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	g.slots <- struct{}{}
	defer func() { <-g.slots }()
	known := ""
	g.mu.Lock()
	if r := g.repo(what); r.err == nil && !r.unread() {
		known = r.commit
	}
	g.mu.Unlock()
	s, err := fetch(ctx, what, known)
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.repo(what)
	r.keep(s, err, known, g.Clock.Now())
	r.reading = false
}

// unread tells whether there is a file that nobody has read.
func (r *repo) unread() bool {
	for _, file := range r.files {
		if errors.Is(file.err, errUnread) {
			return true
		}
	}
	return false
}

// keep keeps what was read of all files that are asked for.
func (r *repo) keep(s snapshot, err error, known string, now time.Time) {
	r.at, r.err = now, err
	if err != nil || s.commit.String() == known {
		return
	}
	r.commit = s.commit.String()
	for name := range r.files {
		bytes, err := s.read(name)
		r.files[name] = contents{bytes: bytes, err: err}
	}
}

func fetch(ctx context.Context, what fleet.SourceRef, known string) (snapshot, error) {
	r, err := dial(what.URL, what.Branch)
	if err != nil {
		return snapshot{}, err
	}
	return r.fetch(ctx, known)
}

// Write has a place say a version instead of another one, in a commit of its own.
// Where somebody pushes meanwhile, it is made anew on theirs, as long as the value is
// what it was.
func (g *Git) Write(ctx context.Context, what fleet.SourceRef, from, to fleet.Declared, message string) error {
	if err := g.admits(what.URL); err != nil {
		return &provider.Fault{Class: provider.Wait, Code: provider.CodeInvalid, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	r, err := dial(what.URL, what.Branch)
	if err != nil {
		return &provider.Fault{Class: provider.Wait, Code: provider.CodeInvalid, Err: err}
	}
	return g.retry(ctx, r, what, wish{from, to, message})
}

// wish is what is to be written.
type wish struct {
	from, to fleet.Declared
	message  string
}

func (g *Git) retry(ctx context.Context, r remote, what fleet.SourceRef, want wish) error {
	err := errMoved
	for try := 0; try < tries && errors.Is(err, errMoved); try++ {
		err = g.write(ctx, r, what, want)
	}
	return faultOf(what, err)
}

// faultOf says what to do about a write that came to nothing.
func faultOf(what fleet.SourceRef, err error) error {
	where := "repository " + what.URL
	switch {
	case err == nil, errors.Is(err, ErrChanged):
		return err
	case errors.Is(err, errRefused):
		return &provider.Fault{
			Class: provider.Wait, Code: provider.CodeUnauthorized, After: refusedFor, Err: fmt.Errorf("%s: %w", where, err),
			Why: fleet.Reason{
				Code: fleet.SourceRefused, Object: where, Message: fmt.Sprintf("%s: %s", where, err),
				Fix: "let Refit push to that branch, or commit the new version yourself, or set the member's spec.source.mode to Report; the upgrade goes on by itself",
			},
		}
	}
	return &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: fmt.Errorf("%s: %w", where, err)}
}

// write is one try.
func (g *Git) write(ctx context.Context, r remote, what fleet.SourceRef, want wish) error {
	s, err := r.fetch(ctx, "")
	if err != nil {
		return err
	}
	file, err := s.read(what.File)
	if err != nil {
		return err
	}
	v, err := find(file, what.File, what.Attribute)
	switch {
	case err != nil:
		return err
	case v.text == want.to:
		g.note(what, s) // it was written before, and the answer got lost
		return nil
	case v.text != want.from:
		g.note(what, s)
		return ErrChanged
	}
	fresh, err := s.follow(change{file: what.File, content: v.splice(file, want.to), message: want.message, at: g.Clock.Now()})
	if err != nil {
		return err
	}
	if err := r.push(ctx, s, fresh); err != nil {
		return moved(ctx, r, s, err)
	}
	s.commit = fresh[len(fresh)-1]
	g.note(what, s)
	return nil
}

// moved tells a push that came too late from one that the server does not want.
func moved(ctx context.Context, r remote, s snapshot, cause error) error {
	if errors.Is(cause, errMoved) {
		return cause
	}
	if now, err := r.newest(ctx); err == nil && now != s.commit {
		return errMoved
	}
	return cause
}

// note keeps what a write has seen, or done.
func (g *Git) note(what fleet.SourceRef, s snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.repo(what)
	if _, asked := r.files[what.File]; !asked {
		r.files[what.File] = contents{err: errUnread}
	}
	r.keep(s, nil, "", g.Clock.Now())
}

// admits tells whether an operator lets a repository be used.
func (g *Git) admits(address string) error {
	where, ok := plain(address)
	for _, prefix := range g.Prefixes {
		if under, fine := plain(prefix); ok && fine && (where == under || strings.HasPrefix(where, strings.TrimSuffix(under, "/")+"/")) {
			return nil
		}
	}
	return fmt.Errorf("repository %s is not among those that Refit may use", hideUser(address))
}

// plain is an address without detours: a folder as file://, no user, no "..".
func plain(address string) (string, bool) {
	if strings.HasPrefix(address, "/") {
		address = "file://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return "", false
	}
	clean := path.Clean("/" + u.Path)
	return strings.ToLower(u.Scheme+"://"+u.Host) + clean, clean == "/"+strings.Trim(u.Path, "/")
}

// hideUser is an address as it may be told: without what may be a password.
func hideUser(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "of the member"
}
