package eks_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/smithy-go"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/lab/eks"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// world is a lab of made-up clusters that is tended, and a client of it.
type world struct {
	*testing.T

	lab    *eks.Lab
	cloud  *fake.Cloud
	made   *fake.Cluster
	client *awseks.Client
	judge  *judge
}

func quick() fake.Latency {
	const moment = 20 * time.Millisecond
	return fake.Latency{Operation: 10 * moment, Silence: moment, Joining: moment, Ready: moment, PodStart: moment, PodGrace: moment}
}

func at(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, cloud: &fake.Cloud{Clock: clock.RealClock{}, Mode: fake.Mode{Latency: quick()}}}
	w.made = w.cloud.Add("backing", fake.Shape{
		Version: at(t, "v1.36.3"), Offers: []fleet.Version{at(t, "v1.36.3"), at(t, "v1.37.0"), at(t, "v1.37.2")},
		Pools: []fake.PoolShape{{Name: "a", Size: 3}, {Name: "b", Size: 1}}, Pods: 4, Floor: 3,
	})
	w.lab = eks.New(eks.Options{
		Backing: w.cloud, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
		Pace: eks.Pace{Eviction: 20 * time.Second, AddOn: 50 * time.Millisecond, Config: 50 * time.Millisecond},
	})
	if err := w.lab.Add(t.Context(), "one", provider.Ref{Name: "backing"}); err != nil {
		t.Fatal(err)
	}
	w.judge = &judge{t: t, next: w.lab.Handler(), seen: map[string]int{}}
	server := httptest.NewServer(w.judge)
	t.Cleanup(func() {
		server.Close()
		if err := w.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	env := w.lab.Environment(server.URL)
	w.client = awseks.New(awseks.Options{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_EKS"]), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	})
	return w
}

// patience is far more than anything here takes.
const patience = time.Minute

// ended tends the lab until an update has ended.
func (w *world) ended(group, addOn string, u *types.Update) *types.Update {
	w.Helper()
	in := &awseks.DescribeUpdateInput{Name: aws.String("one"), UpdateId: u.Id}
	if group != "" {
		in.NodegroupName = &group
	}
	if addOn != "" {
		in.AddonName = &addOn
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		w.lab.Tend(w.Context())
		out, err := w.client.DescribeUpdate(w.Context(), in)
		if err != nil {
			w.Fatal(err)
		}
		if out.Update.Status != types.UpdateStatusInProgress {
			return out.Update
		}
	}
	w.Fatalf("update %s has not ended", *u.Id)
	return nil
}

func (w *world) toVersion(version, token string) (*types.Update, error) {
	out, err := w.client.UpdateClusterVersion(w.Context(), &awseks.UpdateClusterVersionInput{
		Name: aws.String("one"), Version: &version, ClientRequestToken: &token,
	})
	if err != nil {
		return nil, err
	}
	return out.Update, nil
}

func (w *world) groupTo(group, version, token string) (*types.Update, error) {
	out, err := w.client.UpdateNodegroupVersion(w.Context(), &awseks.UpdateNodegroupVersionInput{
		ClusterName: aws.String("one"), NodegroupName: &group, Version: &version, ClientRequestToken: &token,
	})
	if err != nil {
		return nil, err
	}
	return out.Update, nil
}

// refused checks an error of the API.
func (w *world) refused(err error, code string) {
	w.Helper()
	var answered smithy.APIError
	if !errors.As(err, &answered) || answered.ErrorCode() != code {
		w.Errorf("error = %v, want %s", err, code)
	}
}

// TestUpgrade takes a cluster through an upgrade, as Amazon's documentation says:
// control plane, add-ons, node groups; everything that goes over the wire is as
// the model says.
func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	before, err := w.client.DescribeCluster(t.Context(), &awseks.DescribeClusterInput{Name: aws.String("one")})
	if err != nil || *before.Cluster.Version != "1.36" || before.Cluster.Status != types.ClusterStatusActive {
		t.Fatalf("before: %+v, %v", before, err)
	}
	begun, err := w.toVersion("1.37", "t")
	if err != nil {
		t.Fatal(err)
	}
	during, err := w.client.DescribeCluster(t.Context(), &awseks.DescribeClusterInput{Name: aws.String("one")})
	if err != nil || during.Cluster.Status != types.ClusterStatusUpdating || *during.Cluster.Version != "1.36" {
		t.Errorf("during: %+v, %v", during.Cluster, err)
	}
	if u := w.ended("", "", begun); u.Status != types.UpdateStatusSuccessful {
		t.Fatalf("update = %+v", u)
	}
	if got := w.made.Look().Version; got != at(t, "v1.37.2") {
		t.Errorf("the cluster behind it is at %s, want the newest patch", got)
	}
	add, err := w.client.UpdateAddon(t.Context(), &awseks.UpdateAddonInput{
		ClusterName: aws.String("one"), AddonName: aws.String("coredns"), AddonVersion: aws.String("v1.14.0-eksbuild.1"),
		ResolveConflicts: types.ResolveConflictsPreserve,
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := w.ended("", "coredns", add.Update); u.Status != types.UpdateStatusSuccessful {
		t.Fatalf("update = %+v", u)
	}
	old := nodesOf(w.made)
	group, err := w.groupTo("a", "1.37", "g")
	if err != nil {
		t.Fatal(err)
	}
	if u := w.ended("a", "", group); u.Status != types.UpdateStatusSuccessful {
		t.Fatalf("update = %+v", u)
	}
	for _, m := range w.made.Look().Machines {
		if slices.Contains(old, m.ID) == (m.Pool == "a") || (m.Pool == "a") != (m.Version == at(t, "v1.37.2")) {
			t.Errorf("machine %+v, of old ones %v: want group a alone replaced", m, old)
		}
	}
	w.lists()
	for _, m := range model() {
		if name := m.operation.ID().Name; w.judge.seen[name] == 0 && name != "UpdateClusterConfig" {
			t.Errorf("%s was never compared with the model", name)
		}
	}
}

func nodesOf(c *fake.Cluster) []string {
	var names []string
	for _, m := range c.Look().Machines {
		names = append(names, m.ID)
	}
	return names
}

// lists asks for what else there is.
func (w *world) lists() {
	w.Helper()
	ctx, one := w.Context(), aws.String("one")
	clusters, err := w.client.ListClusters(ctx, &awseks.ListClustersInput{})
	if err != nil || !slices.Equal(clusters.Clusters, []string{"one"}) {
		w.Errorf("clusters: %+v, %v", clusters, err)
	}
	groups, err := w.client.ListNodegroups(ctx, &awseks.ListNodegroupsInput{ClusterName: one, MaxResults: aws.Int32(1)})
	if err != nil || !slices.Equal(groups.Nodegroups, []string{"a"}) || groups.NextToken == nil {
		w.Fatalf("node groups: %+v, %v; want a page of one", groups, err)
	}
	groups, err = w.client.ListNodegroups(ctx, &awseks.ListNodegroupsInput{ClusterName: one, NextToken: groups.NextToken})
	if err != nil || !slices.Equal(groups.Nodegroups, []string{"b"}) || groups.NextToken != nil {
		w.Errorf("node groups: %+v, %v; want the rest", groups, err)
	}
	group, err := w.client.DescribeNodegroup(ctx, &awseks.DescribeNodegroupInput{ClusterName: one, NodegroupName: aws.String("a")})
	if err != nil || *group.Nodegroup.Version != "1.37" || *group.Nodegroup.ReleaseVersion != "1.37.2-20261101" {
		w.Errorf("node group: %+v, %v", group, err)
	}
	addOns, err := w.client.ListAddons(ctx, &awseks.ListAddonsInput{ClusterName: one})
	if err != nil || !slices.Contains(addOns.Addons, "coredns") {
		w.Errorf("add-ons: %+v, %v", addOns, err)
	}
	addOn, err := w.client.DescribeAddon(ctx, &awseks.DescribeAddonInput{ClusterName: one, AddonName: aws.String("coredns")})
	if err != nil || *addOn.Addon.AddonVersion != "v1.14.0-eksbuild.1" || addOn.Addon.Status != types.AddonStatusActive {
		w.Errorf("add-on: %+v, %v", addOn, err)
	}
	versions, err := w.client.DescribeAddonVersions(ctx, &awseks.DescribeAddonVersionsInput{AddonName: aws.String("vpc-cni"), KubernetesVersion: aws.String("1.37")})
	if err != nil || len(versions.Addons) != 1 || *versions.Addons[0].AddonVersions[0].AddonVersion != "v1.22.1-eksbuild.1" {
		w.Errorf("versions of add-ons: %+v, %v", versions, err)
	}
	offered, err := w.client.DescribeClusterVersions(ctx, &awseks.DescribeClusterVersionsInput{})
	if err != nil || len(offered.ClusterVersions) != 2 || *offered.ClusterVersions[0].ClusterVersion != "1.37" {
		w.Errorf("versions of clusters: %+v, %v", offered, err)
	}
	updates, err := w.client.ListUpdates(ctx, &awseks.ListUpdatesInput{Name: one, NodegroupName: aws.String("a")})
	if err != nil || len(updates.UpdateIds) != 1 {
		w.Errorf("updates: %+v, %v", updates, err)
	}
}

// TestRules: what Amazon refuses is refused, with its errors.
func TestRules(t *testing.T) {
	w := newWorld(t)
	_, err := w.toVersion("1.38", "")
	w.refused(err, "InvalidParameterException")
	_, err = w.toVersion("1.36", "")
	w.refused(err, "InvalidParameterException")
	_, err = w.toVersion("v1.37.2", "")
	w.refused(err, "InvalidParameterException")
	_, err = w.groupTo("a", "1.37", "")
	w.refused(err, "InvalidParameterException") // newer than the control plane
	_, err = w.groupTo("none", "1.36", "")
	w.refused(err, "ResourceNotFoundException")
	_, err = w.client.DescribeCluster(t.Context(), &awseks.DescribeClusterInput{Name: aws.String("nobody")})
	w.refused(err, "ResourceNotFoundException")

	begun, err := w.toVersion("1.37", "mine")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.toVersion("1.37", "mine"); err != nil || *again.Id != *begun.Id {
		t.Errorf("the same request again: %+v, %v; want %s", again, err, *begun.Id)
	}
	_, err = w.toVersion("1.36", "mine")
	w.refused(err, "InvalidParameterException") // the token of another request
	_, err = w.toVersion("1.37", "other")
	w.refused(err, "ResourceInUseException")
	_, err = w.groupTo("a", "1.36", "")
	w.refused(err, "ResourceInUseException")
	w.ended("", "", begun)
	if again, err := w.toVersion("1.37", "mine"); err != nil || again.Status != types.UpdateStatusSuccessful {
		t.Errorf("the same request when it is done: %+v, %v", again, err)
	}

	w.lab.Throttle(1, 3*time.Second)
	_, err = w.groupTo("a", "1.37", "")
	w.refused(err, "ThrottlingException")
	w.lab.Expire(true)
	_, err = w.client.ListClusters(t.Context(), &awseks.ListClustersInput{})
	w.refused(err, "ExpiredTokenException")
	w.lab.Expire(false)
	w.lab.Withdraw(at(t, "v1.37.0"))
	_, err = w.groupTo("a", "1.37", "")
	w.refused(err, "InvalidParameterException")
}

// TestWhoSigned: a request is answered to the keys of the lab alone.
func TestWhoSigned(t *testing.T) {
	w := newWorld(t)
	options := w.client.Options()
	keys, err := options.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ id, secret, code string }{
		"another account":  {"AKIA00000000000000", keys.SecretAccessKey, "UnrecognizedClientException"},
		"a wrong secret":   {keys.AccessKeyID, "guessed", "InvalidSignatureException"},
		"nobody's request": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := awseks.New(options, func(o *awseks.Options) {
				o.Credentials = credentials.NewStaticCredentialsProvider(test.id, test.secret, "")
			})
			_, err := client.ListClusters(context.Background(), &awseks.ListClustersInput{})
			if test.code == "" {
				if err == nil {
					t.Error("an unsigned request was answered")
				}
				return
			}
			w := &world{T: t}
			w.refused(err, test.code)
		})
	}
}

// TestPodEvictionFailure: an update of a node group whose pods may not move fails
// when its time is over, and leaves the node as it was; forced, it goes on.
func TestPodEvictionFailure(t *testing.T) {
	w := newWorld(t)
	w.made.Change(func(s *fake.State) { s.Floor = 4 })
	w.lab.Pace.Eviction = 300 * time.Millisecond
	begun, err := w.toVersion("1.37", "t")
	if err != nil {
		t.Fatal(err)
	}
	w.ended("", "", begun)
	group, err := w.groupTo("a", "1.37", "g")
	if err != nil {
		t.Fatal(err)
	}
	u := w.ended("a", "", group)
	if u.Status != types.UpdateStatusFailed || len(u.Errors) != 1 || u.Errors[0].ErrorCode != types.ErrorCodePodEvictionFailure || len(u.Errors[0].ResourceIds) != 1 {
		t.Fatalf("update = %+v, want a PodEvictionFailure that names the node", u)
	}
	forced, err := w.client.UpdateNodegroupVersion(t.Context(), &awseks.UpdateNodegroupVersionInput{
		ClusterName: aws.String("one"), NodegroupName: aws.String("a"), Version: aws.String("1.37"), Force: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := w.ended("a", "", forced.Update); u.Status != types.UpdateStatusSuccessful {
		t.Errorf("forced update = %+v", u)
	}
}
