package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/provider/local"
)

// LocalMembers are the local members of a data directory; what binaries are
// busy with is told to progress.
func LocalMembers(dataDir string, progress io.Writer) (local.Members, error) {
	// The file itself, not its name: it may have been replaced meanwhile.
	self, err := os.Executable()
	if err != nil {
		return local.Members{}, fmt.Errorf("find refit itself: %w", err)
	}
	store, err := kube.UserStore(progress)
	if err != nil {
		return local.Members{}, err
	}
	get := func(ctx context.Context, artefact, version string, _ func(string)) (string, error) {
		return store.Get(ctx, kube.Artefact{Name: artefact, Version: version})
	}
	return local.Members{Dir: dataDir, Supervisor: []string{self, superviseCommand}, Get: get}, nil
}

// Logging is the same members, whose supervisors log from a level on.
func Logging(members local.Members, level slog.Level) local.Members {
	members.Supervisor = append(slices.Clone(members.Supervisor), "--log-level", levelName(level))
	return members
}

// LocalProvider is the provider of the local members of a data directory. It
// offers the versions whose binaries are on this machine, and those known to
// be obtainable.
func LocalProvider(dataDir string) (*local.Provider, error) {
	store, err := kube.UserStore(io.Discard)
	if err != nil {
		return nil, err
	}
	return &local.Provider{Dir: dataDir, Offers: func() []fleet.Version { return offers(store) }}, nil
}

// offers are the versions on this machine; of minors that are not, those that
// are known to be obtainable.
func offers(store *kube.Store) []fleet.Version {
	var have []fleet.Version
	entries, _ := store.List() // what cannot be listed is not offered
	for _, entry := range entries {
		if v, ok := fleet.ParseVersion(entry.Version); ok && entry.Name == kube.Kubernetes {
			have = append(have, v)
		}
	}
	for _, text := range kube.KnownVersions() {
		v, ok := fleet.ParseVersion(text)
		if ok && !slices.ContainsFunc(have, v.SameMinor) {
			have = append(have, v)
		}
	}
	return have
}

// Register makes a local member a MemberCluster of the hub. Where it is one, it
// gets the labels that it lacks; what people changed stays.
func Register(ctx context.Context, c client.Client, namespace, name string, labels map[string]string) error {
	mc := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: name}}},
	}
	err := c.Create(ctx, mc)
	if apierrors.IsAlreadyExists(err) {
		err = label(ctx, c, client.ObjectKeyFromObject(mc), labels)
	}
	if err != nil {
		return fmt.Errorf("register member %s: %w", name, err)
	}
	return nil
}

// label adds the labels that a member lacks.
func label(ctx context.Context, c client.Client, key client.ObjectKey, labels map[string]string) error {
	mc := &v1.MemberCluster{}
	if err := c.Get(ctx, key, mc); err != nil {
		return err
	}
	wanted := maps.Clone(labels)
	maps.Copy(wanted, mc.Labels)
	if maps.Equal(wanted, mc.Labels) {
		return nil
	}
	mc.Labels = wanted
	return c.Update(ctx, mc)
}

// localHooks keep the hub's MemberClusters in step with the local members at
// once. "refit up" does so too, soon and when it starts: who creates a member
// need not know which hub it is for.
func localHooks(root *cobra.Command, app App) memberHooks {
	return memberHooks{
		created: func(ctx context.Context, name string, labels map[string]string) error {
			h, err := connectIfUp(root, app)
			if err == nil && h != nil {
				err = Register(ctx, h.client, h.namespace, name, labels)
			}
			if flag(root, "kubeconfig") == "" {
				return nil
			}
			return err
		},
		deleted: func(ctx context.Context, name string) error {
			h, err := connectIfUp(root, app)
			if h == nil || err != nil {
				return err
			}
			mc := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: name}}
			if err := client.IgnoreNotFound(h.client.Delete(ctx, mc)); err != nil {
				return fmt.Errorf("delete MemberCluster %s: %w", name, err)
			}
			return nil
		},
	}
}

// connectIfUp finds the hub; nil where there is none, or where the embedded one
// does not run.
func connectIfUp(cmd *cobra.Command, app App) (*hub, error) {
	if flag(cmd, "kubeconfig") == "" {
		pid, err := app.HubProcess(flag(cmd, "data-dir"))
		if pid == 0 || err != nil {
			return nil, err
		}
	}
	return connect(cmd)
}
