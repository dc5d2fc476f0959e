package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
)

const (
	// mostBytes bounds what a commit's files may come to, for they are held in memory
	// while they are looked at.
	mostBytes = 256 << 20
	// mostOfAFile is far more than people write by hand.
	mostOfAFile = 1 << 20
)

// errMoved tells that the branch is not where it was read any more.
var errMoved = errors.New("somebody has pushed meanwhile")

// errRefused tells that the server does not want a push, whatever is in it.
var errRefused = errors.New("the push is refused")

// remote is a branch of a repository.
type remote struct {
	endpoint *transport.Endpoint
	client   transport.Transport
	branch   string // empty for the one that the repository's HEAD names
}

// dial finds who speaks with a repository. Only an operator's prefixes come here.
func dial(address, branch string) (remote, error) {
	endpoint, err := transport.NewEndpoint(address)
	if err != nil {
		return remote{}, fmt.Errorf("the address of the repository cannot be read")
	}
	r := remote{endpoint: endpoint, branch: branch}
	switch endpoint.Protocol {
	case "file":
		r.client = file.DefaultClient
	case "https", "http":
		// To be sent on to another place would be to reach what nobody has listed.
		r.client = githttp.NewClientWithOptions(&http.Client{Transport: http.DefaultTransport}, &githttp.ClientOptions{RedirectPolicy: githttp.NoFollowRedirects})
	default:
		return remote{}, fmt.Errorf("a repository is reached by https or in a folder, not by %s", endpoint.Protocol)
	}
	return r, nil
}

// head is the branch, at its newest commit.
func (r remote) head(refs *packp.AdvRefs) (*plumbing.Reference, error) {
	name := plumbing.NewBranchReferenceName(r.branch)
	if r.branch == "" {
		name = ""
		for _, symbolic := range refs.Capabilities.Get(capability.SymRef) {
			if target, ok := strings.CutPrefix(symbolic, "HEAD:"); ok {
				name = plumbing.ReferenceName(target)
			}
		}
		if name == "" {
			return nil, errors.New("the repository does not say which branch is its own: name it in branch")
		}
	}
	commit, there := refs.References[name.String()]
	if !there {
		return nil, fmt.Errorf("the repository has no branch %s", name.Short())
	}
	return plumbing.NewHashReference(name, commit), nil
}

// snapshot is one commit with all of its files.
type snapshot struct {
	branch  plumbing.ReferenceName
	commit  plumbing.Hash
	objects *bounded
}

// fetch reads the newest commit, unless it is one that is known.
func (r remote) fetch(ctx context.Context, known string) (snapshot, error) {
	session, err := r.client.NewUploadPackSession(r.endpoint, nil)
	if err != nil {
		return snapshot{}, err
	}
	defer session.Close()
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{objects: &bounded{Storage: memory.NewStorage(), left: mostBytes}}
	head, err := r.head(refs)
	if err != nil {
		return snapshot{}, err
	}
	if s.branch, s.commit = head.Name(), head.Hash(); s.commit.String() == known {
		return s, nil
	}
	request := packp.NewUploadPackRequest() // of few capabilities: the pack alone is the answer
	request.Wants, request.Depth = []plumbing.Hash{s.commit}, packp.DepthCommits(1)
	for _, c := range []capability.Capability{capability.Shallow, capability.OFSDelta} {
		if err := request.Capabilities.Set(c); err != nil {
			return snapshot{}, err
		}
	}
	pack, err := session.UploadPack(ctx, request)
	if err != nil {
		return snapshot{}, err
	}
	defer pack.Close()
	return s, packfile.UpdateObjectStorage(s.objects, io.LimitReader(pack, mostBytes))
}

// newest is the newest commit of the branch.
func (r remote) newest(ctx context.Context) (plumbing.Hash, error) {
	session, err := r.client.NewUploadPackSession(r.endpoint, nil)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer session.Close()
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	head, err := r.head(refs)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return head.Hash(), nil
}

// bounded is a storage in memory that takes only so much.
type bounded struct {
	*memory.Storage

	left int64
}

// SetEncodedObject stores an object, where there is room for it.
func (b *bounded) SetEncodedObject(o plumbing.EncodedObject) (plumbing.Hash, error) {
	if b.left -= o.Size(); b.left < 0 {
		return plumbing.ZeroHash, fmt.Errorf("the files of its newest commit take more than %d MiB", mostBytes>>20)
	}
	return b.Storage.SetEncodedObject(o)
}

// read is a file of the commit. A symbolic link is not followed, wherever it leads.
func (s snapshot) read(name string) ([]byte, error) {
	tree, err := s.tree()
	if err != nil {
		return nil, err
	}
	entry, err := tree.FindEntry(name)
	if err != nil {
		return nil, fmt.Errorf("there is no %s", name)
	}
	if entry.Mode != filemode.Regular && entry.Mode != filemode.Executable {
		return nil, fmt.Errorf("%s is no plain file", name)
	}
	blob, err := object.GetBlob(s.objects, entry.Hash)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if blob.Size > mostOfAFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, blob.Size, mostOfAFile)
	}
	reader, err := blob.Reader()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func (s snapshot) tree() (*object.Tree, error) {
	commit, err := object.GetCommit(s.objects, s.commit)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", s.commit, err)
	}
	return commit.Tree()
}

// change is a file that is to be another.
type change struct {
	file    string
	content []byte
	message string
	at      time.Time
}

// follow makes a commit that follows on the snapshot's, and tells which objects are new,
// the commit last. The entries of all other files are those that were there.
func (s snapshot) follow(c change) ([]plumbing.Hash, error) {
	root, err := s.tree()
	if err != nil {
		return nil, err
	}
	blob := s.objects.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	if err := fill(blob, c.content); err != nil {
		return nil, err
	}
	hash, err := s.objects.SetEncodedObject(blob)
	fresh := []plumbing.Hash{hash}
	for name := c.file; err == nil && name != "."; name = path.Dir(name) {
		if hash, err = s.replace(root, name, hash); err == nil {
			fresh = append(fresh, hash)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", c.file, err)
	}
	by := object.Signature{Name: "Refit", Email: "refit@noreply.refit.dev", When: c.at.UTC()}
	commit := object.Commit{Author: by, Committer: by, Message: c.message, TreeHash: hash, ParentHashes: []plumbing.Hash{s.commit}}
	if hash, err = s.store(&commit); err != nil {
		return nil, fmt.Errorf("write a commit: %w", err)
	}
	return append(fresh, hash), nil
}

// replace is the folder of a name, with another object under that name.
func (s snapshot) replace(root *object.Tree, name string, hash plumbing.Hash) (plumbing.Hash, error) {
	folder := root
	if dir := path.Dir(name); dir != "." {
		var err error
		if folder, err = root.Tree(dir); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	changed := object.Tree{Entries: append([]object.TreeEntry(nil), folder.Entries...)}
	for i := range changed.Entries {
		if changed.Entries[i].Name == path.Base(name) {
			changed.Entries[i].Hash = hash
		}
	}
	return s.store(&changed)
}

// encoder is a tree or a commit.
type encoder interface {
	Encode(o plumbing.EncodedObject) error
}

func (s snapshot) store(what encoder) (plumbing.Hash, error) {
	o := s.objects.NewEncodedObject()
	if err := what.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.objects.SetEncodedObject(o)
}

func fill(o plumbing.EncodedObject, content []byte) error {
	w, err := o.Writer()
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return errors.Join(err, w.Close())
}

// push moves the branch from the snapshot's commit to one that follows on it. The
// server compares what it has with what we have read, and refuses where the two
// differ: nobody's push is ever lost, and none is forced.
func (r remote) push(ctx context.Context, s snapshot, fresh []plumbing.Hash) error {
	session, err := r.client.NewReceivePackSession(r.endpoint, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return s.refusal(err)
	}
	if refs.References[s.branch.String()] != s.commit {
		return errMoved
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, s.objects, false).Encode(fresh, 0); err != nil {
		return fmt.Errorf("pack a commit: %w", err)
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	request.Commands = []*packp.Command{{Name: s.branch, Old: s.commit, New: fresh[len(fresh)-1]}}
	request.Packfile = io.NopCloser(&pack)
	report, err := session.ReceivePack(ctx, request)
	return s.answer(report, err)
}

// answer is what a server's report comes to. Where it took the objects, and not our one
// command, it is the branch that must not be moved; an error beside a good report is
// of the conversation.
func (s snapshot) answer(report *packp.ReportStatus, err error) error {
	if report != nil && report.UnpackStatus == "ok" {
		for _, command := range report.CommandStatuses {
			if command.Error() != nil {
				return fmt.Errorf("%w on branch %s: %s", errRefused, s.branch.Short(), command.Status)
			}
		}
	}
	return s.refusal(err)
}

// refusal tells an error that asks for another right from all others.
func (s snapshot) refusal(err error) error {
	if errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed) {
		return fmt.Errorf("%w on branch %s: %w", errRefused, s.branch.Short(), err)
	}
	return err
}
