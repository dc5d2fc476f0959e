package eks_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/eks"
)

// TestWhoseUpdate: who began an update knows it for its own; after a restart it is
// somebody else's, and asking again for the same begins no other.
func TestWhoseUpdate(t *testing.T) {
	w := newWorld(t)
	ref := w.Cluster("one")
	change := provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: "mine",
		From: provider.State{Version: w.Versions.Old}, To: provider.State{Version: w.Versions.Next},
	}
	begun, err := w.Provider.Ensure(t.Context(), ref, change)
	if err != nil || begun.Token != "mine" || begun.Foreign {
		t.Fatalf("begun = %+v, %v", begun, err)
	}
	first, ok := w.Provider.(*eks.Provider)
	if !ok {
		t.Fatalf("the provider is %T", w.Provider)
	}
	restarted := &eks.Provider{Load: func(ctx context.Context, region string) (aws.Config, error) { return first.Load(ctx, region) }}
	for name, test := range map[string]struct {
		provider provider.Provider
		token    string
	}{"before a restart": {first, "mine"}, "after it": {restarted, ""}} {
		seen, err := test.provider.Observe(t.Context(), ref)
		if err != nil || len(seen.Operations) != 1 {
			t.Fatalf("%s: %+v, %v", name, seen.Operations, err)
		}
		if op := seen.Operations[0]; op.ID != begun.ID || op.Token != test.token || op.Foreign != (test.token == "") {
			t.Errorf("%s: operation = %+v, want %s with the token %q", name, op, begun.ID, test.token)
		}
		if again, err := test.provider.Ensure(t.Context(), ref, change); err != nil || again.ID != begun.ID {
			t.Errorf("%s: asked again: %+v, %v, want %s", name, again, err, begun.ID)
		}
	}
}
