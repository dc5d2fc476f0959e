package eks_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	lab "refit.dev/refit/internal/lab/eks"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
	"refit.dev/refit/internal/provider/eks"
	"refit.dev/refit/internal/provider/fake"
)

// TestContract runs against the lab, whose clusters are made up; test/e2e runs it
// on real control planes.
func TestContract(t *testing.T) {
	contract.Run(t, contract.Subject{
		Name: "eks", Limits: provider.Limits{PicksPatch: true},
		Lacks: contract.Lacks{
			Told:         "EKS takes a token with an update, and does not tell it",
			PartialPools: "instances are not listed: nodes are known by their label",
			Nodes:        "EKS rolls its managed node groups itself",
			Choice:       "EKS goes one minor at a time, and picks the patch",
		},
		Make: newWorld,
	})
}

func parse(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

const region = "eu-west-1"

// newWorld is a lab whose time passes by seconds, when the case says so.
func newWorld(t *testing.T) contract.World {
	t.Helper()
	at := func(text string) fleet.Version { return parse(t, text) }
	clock := clocktesting.NewFakeClock(time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC))
	cloud := &fake.Cloud{Clock: clock}
	made := lab.New(lab.Options{
		Region: region, Backing: cloud, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Pace: lab.Pace{AddOn: time.Second, Config: time.Minute},
	})
	server := httptest.NewServer(made.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	config := configOf(made.Environment(server.URL))
	somebody := awseks.NewFromConfig(config)
	versions := contract.Versions{Old: at("v1.36.0"), Next: at("v1.37.0"), Elsewhere: at("v1.37.0"), Skipping: at("v1.38.0"), Back: at("v1.35.0")}
	return contract.World{
		Provider: &eks.Provider{Load: func(context.Context, string) (aws.Config, error) { return config, nil }},
		Versions: versions,
		Cluster: func(name string) provider.Ref {
			cloud.Add("backing-"+name, fake.Shape{
				Version: at("v1.36.3"), Offers: []fleet.Version{at("v1.36.3"), at("v1.36.6"), at("v1.37.2")},
				Pools: []fake.PoolShape{{Name: "a", Size: 3}, {Name: "b", Size: 1}}, Pods: 4, Floor: 3,
			})
			if err := made.Add(t.Context(), name, provider.Ref{Name: "backing-" + name}); err != nil {
				t.Fatal(err)
			}
			return provider.Ref{Name: name, Region: region}
		},
		Pass: func() {
			clock.Step(time.Second)
			made.Tend(t.Context())
		},
		Foreign: func(ref provider.Ref, to fleet.Version) {
			if _, err := somebody.UpdateClusterVersion(t.Context(), &awseks.UpdateClusterVersionInput{Name: &ref.Name, Version: aws.String(to.MinorName())}); err != nil {
				t.Fatal(err)
			}
		},
		Busy: func(ref provider.Ref) {
			logging := &types.Logging{ClusterLogging: []types.LogSetup{{Enabled: aws.Bool(true), Types: []types.LogType{types.LogTypeAudit}}}}
			if _, err := somebody.UpdateClusterConfig(t.Context(), &awseks.UpdateClusterConfigInput{Name: &ref.Name, Logging: logging}); err != nil {
				t.Fatal(err)
			}
		},
		Failing: func(ref provider.Ref) fleet.Version {
			made.Fail(ref.Name)
			return versions.Next
		},
		Missing: func(provider.Ref) fleet.Version {
			made.Withdraw(versions.Next)
			return versions.Next
		},
		Lose:     func(provider.Ref, contract.Call) { made.Lose() },
		Throttle: func(provider.Ref) { made.Throttle(1, time.Minute) },
		Expire:   func(provider.Ref) { made.Expire(true) },
		Renew:    func(provider.Ref) { made.Expire(false) },
	}
}

func configOf(env map[string]string) aws.Config {
	return aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_EKS"]),
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}
