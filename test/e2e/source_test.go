//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

// infrastructure has the versions of two clusters, as somebody wrote it by hand.
const infrastructure = "# \"1.35\" is what home had in spring\r\n" +
	"locals {\r\n\tregion   =   \"eu-1\"\r\n}\r\n\r\n" +
	"module \"home\" {\r\n  source  = \"./cluster\"\r\n    version=   \"1.35\"   # ünd not \"1.35\"\r\n  nodes   = 2\r\n}\r\n" +
	"module \"other\" { version = \"1.35\" }\r\n" +
	"module \"away\" {\n  version = \"v1.36.3\"\n}\n"

// A gitRepository is a bare one, as a server has it, and a person's clone.
type gitRepository struct {
	t           *testing.T
	bare, clone string
}

func newGitRepository(t *testing.T, file, content string) gitRepository {
	t.Helper()
	r := gitRepository{t: t, bare: filepath.Join(t.TempDir(), "infra.git"), clone: filepath.Join(t.TempDir(), "clone")}
	r.git("init", "-q", "--bare", "-b", "main", r.bare)
	r.git("clone", "-q", r.bare, r.clone)
	r.commit(file, content, "Begin")
	r.git("-C", r.clone, "push", "-q", "origin", "HEAD:main")
	return r
}

func (r gitRepository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example", "GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// commit is a person's, which is yet to be pushed, on the newest that there is.
func (r gitRepository) commit(file, content, message string) {
	r.t.Helper()
	if strings.TrimSpace(r.git("-C", r.clone, "ls-remote", "origin", "main")) != "" {
		r.git("-C", r.clone, "fetch", "-q", "origin", "main")
		r.git("-C", r.clone, "reset", "-q", "--hard", "FETCH_HEAD")
	}
	path := filepath.Join(r.clone, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.git("-C", r.clone, "add", "-A")
	r.git("-C", r.clone, "commit", "-q", "-m", message)
}

func (r gitRepository) file(name string) string {
	return r.git("--git-dir", r.bare, "show", "main:"+name)
}

// wantLog compares author and subject of all commits, the newest first.
func (r gitRepository) wantLog(want ...string) {
	r.t.Helper()
	got := strings.Split(strings.TrimSpace(r.git("--git-dir", r.bare, "log", "--format=%an: %s", "main")), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("commits (-want +got):\n%s", diff)
	}
}

func (r gitRepository) wantFile(name, want string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.file(name)); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// pushWhile pushes what was committed when somebody else's push has arrived, and
// before it is let in: the server's own hook does so.
func (r gitRepository) pushWhile() {
	r.t.Helper()
	hook := fmt.Sprintf("#!/bin/sh\n[ -e %[1]s/pushed ] && exit 0\ntouch %[1]s/pushed\nexec env -i PATH=\"$PATH\" git -C %[2]s push -q origin HEAD:main\n", r.bare, r.clone)
	if err := os.WriteFile(filepath.Join(r.bare, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// TestSource: a member's version is declared in a Terraform file. An upgrade is done
// when the file says so: by one commit that changes one token, whoever else pushes
// meanwhile. A value that somebody has changed is theirs. Judged by Git.
func TestSource(t *testing.T) {
	const file = "infra/eks.tf"
	u := newUser(t)
	repo := newGitRepository(t, file, infrastructure)
	u.up("--source-prefix", filepath.Dir(repo.bare))
	u.must("local", "create", "home", "--version", v135, "--nodes", "1")
	source := func(member, mode string) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"declared":"yes"}},"spec":{"source":{"mode":%q,"git":{"url":%q},"terraform":{"file":%q,"attribute":"module.%s.version"}}}}`, mode, repo.bare, file, member)
		eventually(t, time.Minute, "the hub knows "+member, func() (bool, string) {
			out, err := u.kube("", "get", "membercluster", member)
			return err == nil, out
		})
		u.mustKube("", "patch", "membercluster", member, "--type", "merge", "-p", patch)
	}
	release := func(kubernetes string) {
		u.mustKube(fmt.Sprintf(`
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: to-%[1]s}
spec: {bundle: {kubernetes: %[1]s}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec: {selector: {matchLabels: {declared: "yes"}}, release: to-%[1]s, settle: 1s, bake: 1s, nodes: {maxSurge: 1}}
`, kubernetes), "apply", "-f", "-")
	}
	done := func(upgrade string) {
		t.Helper()
		if up := awaitUpgrade(t, u.hub(), upgrade, 6*time.Minute); endedAs(up) != "Done" {
			t.Fatalf("%s ended %s: %+v", upgrade, endedAs(up), up.Status.Why)
		}
	}
	source("home", "WriteBack")

	release(v136)
	done("home.1")
	want := strings.Replace(infrastructure, `version=   "1.35"`, `version=   "1.36"`, 1)
	repo.wantFile(file, want)
	repo.wantLog("Refit: Upgrade home to Kubernetes 1.36", "ann: Begin")
	message := repo.git("--git-dir", repo.bare, "log", "-1", "--format=%B", "main")
	for _, part := range []string{"Member: home", "Release: to-" + v136, "Control plane: " + v136 + ", from " + v135} {
		if !strings.Contains(message, part) {
			t.Errorf("the message does not say %q:\n%s", part, message)
		}
	}

	theirs := strings.Replace(want, `region   =   "eu-1"`, `region = "eu-2"`, 1)
	repo.commit(file, theirs, "Move")
	repo.pushWhile()
	release(v137)
	done("home.2")
	want = strings.Replace(theirs, `version=   "1.36"`, `version=   "1.37"`, 1)
	repo.wantFile(file, want)
	repo.wantLog("Refit: Upgrade home to Kubernetes 1.37", "ann: Move", "Refit: Upgrade home to Kubernetes 1.36", "ann: Begin")
	repo.git("--git-dir", repo.bare, "fsck", "--strict", "--full")

	u.must("local", "create", "away", "--version", v136, "--nodes", "1")
	source("away", "WriteBack")
	eventually(t, 3*time.Minute, "away is being changed", func() (bool, string) {
		up := &v1.ClusterUpgrade{}
		err := u.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "away.1"}, up)
		return err == nil && up.Status.Step == "ControlPlane", fmt.Sprint(err, up.Status.Step, up.Status.Why)
	})
	want = strings.Replace(want, `"v1.36.3"`, `"v1.36.1"`, 1)
	repo.commit(file, want, "Hold back")
	repo.git("-C", repo.clone, "push", "-q", "origin", "HEAD:main")
	eventually(t, 6*time.Minute, "away stops", func() (bool, string) {
		why, _, _ := u.run("why", "away")
		return strings.Contains(why, "SourceChanged") && strings.Contains(why, `said "v1.36.3"`) && strings.Contains(why, `says "v1.36.1"`), why
	})
	repo.wantFile(file, want)
	log := []string{"ann: Hold back", "Refit: Upgrade home to Kubernetes 1.37", "ann: Move", "Refit: Upgrade home to Kubernetes 1.36", "ann: Begin"}
	repo.wantLog(log...)

	source("away", "Report")
	done("away.1")
	line := 1 + strings.Count(want[:strings.Index(want, `"v1.36.1"`)], "\n")
	eventually(t, time.Minute, "the drift is told", func() (bool, string) {
		drift := u.must("drift")
		told := fmt.Sprintf(`away    Source  infra/eks.tf:%[1]d  infra/eks.tf:%[1]d says "v1.36.1", the cluster runs %[2]s`, line, v137)
		return strings.Contains(drift, told) && !strings.Contains(drift, "home"), drift
	})
	repo.wantFile(file, want)
	repo.wantLog(log...)
}
