package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The objects that each case below changes in one place.
const (
	goodMember = `
apiVersion: refit.dev/v1alpha1
kind: MemberCluster
metadata: {name: payments-eu-1, namespace: refit}
spec: {provider: {local: {name: payments-eu-1}}}
`
	sourcedMember = `
apiVersion: refit.dev/v1alpha1
kind: MemberCluster
metadata: {name: payments-eu-1, namespace: refit}
spec: {provider: {local: {name: payments-eu-1}}, source: {git: {url: "https://git.example/infra.git"}, terraform: {file: infra/eks.tf, attribute: module.eu_1.version}}}
`
	goodRelease = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: v1.37.2, hops: {"1.36": v1.36.3}}}
`
	goodFleet = `
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main, namespace: refit}
spec: {selector: {}, release: "2026.11"}
`
	goodUpgrade = `
apiVersion: refit.dev/v1alpha1
kind: ClusterUpgrade
metadata: {name: payments-eu-1.1, namespace: refit}
spec: {member: payments-eu-1, release: {name: "2026.11", hash: abc}, fleet: main, fleetUID: u1, revision: 1, wave: all, hub: h1}
`
	everyOperator = `
matchLabels: {env: prod}
matchExpressions:
- {key: env, operator: In, values: [prod, ""]}
- {key: example.com/tier, operator: NotIn, values: [a]}
- {key: owner, operator: Exists}
- {key: broken, operator: DoesNotExist, values: []}
`
	goodFreeze = `
apiVersion: refit.dev/v1alpha1
kind: Freeze
metadata: {name: holidays, namespace: refit}
spec: {fleet: main, member: payments-eu-1, from: "2026-12-20T00:00:00Z", until: "2027-01-04T08:00:00+01:00", stops: Starts, reason: holidays}
`
	goodApproval = `
apiVersion: refit.dev/v1alpha1
kind: Approval
metadata: {name: again, namespace: refit}
spec: {fleet: main, revision: 1, subject: Retry, name: payments-eu-1, until: "2027-01-04T08:00:00Z", reason: disk replaced}
`
)

// longest is a selector at every bound: the rules must not be too costly for it.
var longest = fmt.Sprintf("matchExpressions: [%s]", strings.Join(slices.Repeat([]string{fmt.Sprintf(
	"{key: %s/%s, operator: In, values: [%s]}",
	strings.Join(slices.Repeat([]string{strings.Repeat("a", 61)}, 4), ".")+".abcde", strings.Repeat("a", 63),
	strings.Join(slices.Repeat([]string{strings.Repeat("a", 63)}, 64), ", "),
)}, 16), ", "))

func counted(format string, n int) []string {
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprintf(format, i))
	}
	return texts
}

// TestAdmission shows what a real API server admits, and what it refuses and
// with which words.
func TestAdmission(t *testing.T) {
	c := newHub(t)
	t.Run("versions", func(t *testing.T) { admitVersions(t, c) })
	t.Run("selectors", func(t *testing.T) { keepSelectors(t, c) })
	t.Run("add-ons", func(t *testing.T) { admitAddOns(t, c) })
	t.Run("gates", func(t *testing.T) { admitGates(t, c) })
	for _, test := range []struct {
		name, object string
		// set is a path in the object, and the YAML that stands there.
		path, set string
		// want is part of the refusal; empty where the object is admitted.
		want string
	}{
		{"a member", goodMember, "", "", ""},
		{"a member named with 50 characters", goodMember, "metadata.name", strings.Repeat("a", 50), ""},
		{"a member named with 51 characters", goodMember, "metadata.name", strings.Repeat("a", 51), "at most 50 characters"},
		{"a member named with a dot", goodMember, "metadata.name", "a.b", "lower-case letters, digits and hyphens"},
		{"a member without a provider", goodMember, "spec.provider", "{}", "name exactly one provider: eks, object or local; or fake"},
		{"a member of two providers", goodMember, "spec.provider", "{local: {name: one}, fake: {}}", "name exactly one provider: eks, object or local; or fake"},
		{"a member of EKS", goodMember, "spec.provider", "{eks: {region: us-gov-east-1, name: Prod_1}}", ""},
		{"a member of EKS in no region", goodMember, "spec.provider", "{eks: {name: one}}", "region: Required value"},
		{"a member of EKS in a zone", goodMember, "spec.provider", "{eks: {region: eu-west-1a, name: one}}", "spec.provider.eks.region in body should match"},
		{"a member that is an object", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: prod, name: one}}", ""},
		{"one of a topology, elsewhere", goodMember, "spec.provider", "{object: {profile: ClusterAPITopology, namespace: prod, name: one, kubeconfig: {secretName: management.eu}}}", ""},
		{"one of no profile", goodMember, "spec.provider", "{object: {namespace: prod, name: one}}", "profile: Required value"},
		{"one of an unknown profile", goodMember, "spec.provider", "{object: {profile: Gardener, namespace: prod, name: one}}", "supported values: \"ClusterAPI\", \"ClusterAPITopology\""},
		{"one of no namespace", goodMember, "spec.provider", "{object: {profile: ClusterAPI, name: one}}", "namespace: Required value"},
		{"one whose namespace is a path", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: a/b, name: one}}", "spec.provider.object.namespace in body should match"},
		{"one whose name is a path", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: prod, name: ../one}}", "spec.provider.object.name in body should match"},
		{"one whose Secret is elsewhere", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: prod, name: one, kubeconfig: {secretName: other/secret}}}", "spec.provider.object.kubeconfig.secretName in body should match"},
		{"one of no Secret", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: prod, name: one, kubeconfig: {key: value}}}", "secretName: Required value"},
		{"one whose key is a path", goodMember, "spec.provider", "{object: {profile: ClusterAPI, namespace: prod, name: one, kubeconfig: {secretName: m, key: a/b}}}", "spec.provider.object.kubeconfig.key in body should match"},
		{"a member of EKS by its ARN", goodMember, "spec.provider", "{eks: {region: eu-west-1, name: 'arn:aws:eks:eu-west-1:111122223333:cluster/one'}}", "spec.provider.eks.name in body should match"},
		{"a made-up member", goodMember, "spec.provider", "{fake: {}}", ""},
		{"a member of a nameless local cluster", goodMember, "spec.provider.local.name", `""`, "should be at least 1 chars long"},
		{"a member of a local cluster with a long name", goodMember, "spec.provider.local.name", strings.Repeat("a", 51), "may not be more than 50"},

		{"a member with a source", sourcedMember, "", "", ""},
		{"a source that is written", sourcedMember, "spec.source.mode", "WriteBack", ""},
		{"a source that comes first", sourcedMember, "spec.source.mode", "SourceFirst", "supported values: \"Report\", \"WriteBack\""},
		{"a source in a folder", sourcedMember, "spec.source.git.url", "/srv/git/infra.git", ""},
		{"a source in a folder, as a URL", sourcedMember, "spec.source.git.url", "file:///srv/git/infra.git", ""},
		{"a source by ssh", sourcedMember, "spec.source.git.url", "git@git.example:infra", "url is https://host/path"},
		{"a source by http", sourcedMember, "spec.source.git.url", "http://git.example/infra", "url is https://host/path"},
		{"a source with a password", sourcedMember, "spec.source.git.url", "https://a:b@git.example/infra", "without user, password"},
		{"a source by a detour", sourcedMember, "spec.source.git.url", "https://git.example/infra/../other", "and .."},
		{"a source in a folder that is relative", sourcedMember, "spec.source.git.url", "srv/git", "url is https://host/path"},
		{"a source of a branch", sourcedMember, "spec.source.git.branch", "release/2026.11", ""},
		{"a source of an option", sourcedMember, "spec.source.git.branch", "--upload-pack=x", "branch is the name of a branch"},
		{"a source of a range", sourcedMember, "spec.source.git.branch", "a..b", "branch is the name of a branch"},
		{"a source in variables", sourcedMember, "spec.source.terraform.file", "prod.tfvars", ""},
		{"a source outside", sourcedMember, "spec.source.terraform.file", "../eks.tf", "file is a path in the repository"},
		{"a source outside, by a detour", sourcedMember, "spec.source.terraform.file", "a/../../eks.tf", "file is a path in the repository"},
		{"a source by an absolute path", sourcedMember, "spec.source.terraform.file", "/etc/eks.tf", "file is a path in the repository"},
		{"a source in no Terraform file", sourcedMember, "spec.source.terraform.file", "eks.yaml", "file is a path in the repository"},
		{"a source by a key", sourcedMember, "spec.source.terraform.attribute", `'locals.clusters["payments-eu-1"].version'`, ""},
		{"a source by a number", sourcedMember, "spec.source.terraform.attribute", "'locals.clusters[0].version'", "attribute is names with dots"},
		{"a source by a template", sourcedMember, "spec.source.terraform.attribute", `'locals.clusters["${x}"].version'`, "attribute is names with dots"},
		{"a source of nothing", sourcedMember, "spec.source.terraform.attribute", "''", "attribute is names with dots"},
		{"a source without a file", sourcedMember, "spec.source.terraform", "{attribute: a.b}", "file: Required value"},

		{"a release", goodRelease, "", "", ""},
		{"a release of a vendor's version", goodRelease, "spec.bundle.kubernetes", "v1.37.2-gke.1200", ""},
		{"a release of a minor", goodRelease, "spec.bundle.kubernetes", "v1.37", "kubernetes is a full version, as in v1.37.2"},
		{"a release without v", goodRelease, "spec.bundle.kubernetes", "1.37.2", "kubernetes is a full version, as in v1.37.2"},
		{"a release of a release candidate", goodRelease, "spec.bundle.kubernetes", "v1.37.0-rc.1", "alpha, beta and rc are not kept compatible"},
		{"a release of an alpha version", goodRelease, "spec.bundle.kubernetes", "v1.37.0-alpha.1", "alpha, beta and rc are not kept compatible"},
		{"a release of a beta version", goodRelease, "spec.bundle.kubernetes", "v1.37.0-beta.0", "alpha, beta and rc are not kept compatible"},
		{"a release without kubernetes", goodRelease, "spec.bundle", "{}", "kubernetes: Required value"},
		{"a hop of another minor", goodRelease, "spec.bundle.hops", `{"1.36": v1.35.4}`, "hops maps a minor to a version of that minor"},
		{"a hop that is a minor", goodRelease, "spec.bundle.hops", `{"1.36": "v1.36."}`, "a hop is a full version, as in v1.36.3"},
		{"a hop over a release candidate", goodRelease, "spec.bundle.hops", `{"1.36": v1.36.0-rc.1}`, "a hop is a released version"},
		{"a hop of a major", goodRelease, "spec.bundle.hops", `{"1": v1.36.3}`, "hops maps a minor to a version of that minor"},
		{"a hop of a patch", goodRelease, "spec.bundle.hops", `{"1.36.3": v1.36.3}`, "hops maps a minor to a version of that minor"},
		{"a hop of v and a minor", goodRelease, "spec.bundle.hops", `{"v1.36": v1.36.3}`, "hops maps a minor to a version of that minor"},

		{"a release that is withdrawn", goodRelease, "spec.withdrawn", "{reason: loses volumes}", ""},
		{"a release that is withdrawn for no reason", goodRelease, "spec.withdrawn", "{}", "spec.withdrawn.reason: Required value"},
		{"a release that is withdrawn for a blank reason", goodRelease, "spec.withdrawn", `{reason: " "}`, "reason is one line that says why"},

		{"a fleet", goodFleet, "", "", ""},
		{"a fleet without a selector", goodFleet, "spec", `{release: x}`, "spec.selector: Required value"},
		{"a fleet without a release", goodFleet, "spec.release", `""`, "spec.release"},
		{"members by a label", goodFleet, "spec.selector", "{matchLabels: {env: prod, example.com/tier: ''}}", ""},
		{"members by every operator", goodFleet, "spec.selector", everyOperator, ""},
		{"keys and values of the greatest length", goodFleet, "spec.selector", longest, ""},
		{"an operator of no selector", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: Eq, values: [prod]}]}", `spec.selector.matchExpressions[0].operator: Unsupported value: "Eq": supported values: "In", "NotIn", "Exists", "DoesNotExist"`},
		{"no operator", goodFleet, "spec.selector", "{matchExpressions: [{key: env}]}", "spec.selector.matchExpressions[0].operator: Required value"},
		{"In no values", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: In}]}", "operators In and NotIn need values: name at least one"},
		{"NotIn an empty list", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: NotIn, values: []}]}", "operators In and NotIn need values: name at least one"},
		{"Exists with values", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: Exists, values: [prod]}]}", "operators Exists and DoesNotExist take no values: remove them"},
		{"DoesNotExist with values", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: DoesNotExist, values: [prod]}]}", "operators Exists and DoesNotExist take no values: remove them"},
		{"an expression without a key", goodFleet, "spec.selector", "{matchExpressions: [{operator: Exists}]}", "spec.selector.matchExpressions[0].key: Required value"},
		{"a key that is no label's", goodFleet, "spec.selector", "{matchExpressions: [{key: my env, operator: Exists}]}", "key is a label's key: write one like env or example.com/env"},
		{"a key with an empty prefix", goodFleet, "spec.selector", "{matchExpressions: [{key: /env, operator: Exists}]}", "key is a label's key: write one like env or example.com/env"},
		{"a value that is no label's", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: In, values: [prod, not prod]}]}", "spec.selector.matchExpressions[0].values[1]: Invalid value: \"not prod\": a label's value has at most 63"},
		{"a long value", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: In, values: [" + strings.Repeat("a", 64) + "]}]}", "may not be more than 63"},
		{"a label whose key is none", goodFleet, "spec.selector", "{matchLabels: {my env: prod}}", "spec.selector.matchLabels: Invalid value: matchLabels maps label keys to values: write a key like env or example.com/env"},
		{"a label with a long key", goodFleet, "spec.selector", "{matchLabels: {" + strings.Repeat("a", 64) + ": prod}}", "matchLabels maps label keys to values"},
		{"a label with an empty key", goodFleet, "spec.selector", "{matchLabels: {'': prod}}", "matchLabels maps label keys to values"},
		{"a label whose value is none", goodFleet, "spec.selector", "{matchLabels: {env: prod!}}", "spec.selector.matchLabels[env]: Invalid value: \"prod!\": a label's value has at most 63"},
		{"17 labels", goodFleet, "spec.selector", "{matchLabels: {" + strings.Join(counted("l%d: v", 17), ", ") + "}}", "must have at most 16 items"},
		{"17 expressions", goodFleet, "spec.selector", "{matchExpressions: [" + strings.Join(counted("{key: l%d, operator: Exists}", 17), ", ") + "]}", "must have at most 16 items"},
		{"65 values", goodFleet, "spec.selector", "{matchExpressions: [{key: env, operator: In, values: [" + strings.Join(counted("v%d", 65), ", ") + "]}]}", "must have at most 64 items"},
		{"a canary and the rest", goodFleet, "spec.waves", `[{name: a, selector: {matchLabels: {env: dev}}, soak: 4h, minSuccess: 95%, maxFailures: 1, allowEmpty: true}, {name: b}]`, ""},
		{"two waves of one name", goodFleet, "spec.waves", `[{name: a}, {name: a}]`, "Duplicate value"},
		{"9 waves", goodFleet, "spec.waves", "[" + strings.Join(counted("{name: w%d}", 9), ", ") + "]", "must have at most 8 items"},
		{"waves by the longest selectors", goodFleet, "spec.waves", "[" + strings.Join(counted("{name: w%d, selector: {"+longest+"}}", 4), ", ") + "]", ""},
		{"a wave by what is no label", goodFleet, "spec.waves", `[{name: a, selector: {matchLabels: {env: prod!}}}]`, "a label's value has at most 63"},
		{"30 days of soaking", goodFleet, "spec.waves", `[{name: a, soak: 720h}]`, ""},
		{"more than 30 days of soaking", goodFleet, "spec.waves", `[{name: a, soak: 721h}]`, "soak is between 0s and 720h (30 days)"},
		{"soaking backwards", goodFleet, "spec.waves", `[{name: a, soak: -1s}]`, "soak is between 0s and 720h (30 days)"},
		{"a wave that needs nobody", goodFleet, "spec.waves", `[{name: a, minSuccess: 0}]`, "minSuccess is a number of at least 1, or a percentage from 1% to 100%"},

		{"a wave that needs 0%", goodFleet, "spec.waves", `[{name: a, minSuccess: 0%}]`, "minSuccess is a number of at least 1, or a percentage from 1% to 100%"},

		{"a wave that needs some", goodFleet, "spec.waves", `[{name: a, minSuccess: most}]`, "minSuccess is a number of at least 1, or a percentage from 1% to 100%"},

		{"a wave that tolerates less than nothing", goodFleet, "spec.waves", `[{name: a, maxFailures: -1}]`, "maxFailures is a number of at least 0, or a percentage from 0% to 100%"},

		{"a wave that tolerates some", goodFleet, "spec.waves", `[{name: a, maxFailures: some}]`, "maxFailures is a number of at least 0, or a percentage from 0% to 100%"},

		{"a fleet that tolerates a tenth", goodFleet, "spec.maxFailures", "10%", ""},
		{"a fleet that tolerates less than nothing", goodFleet, "spec.maxFailures", "-1", "maxFailures is a number of at least 0, or a percentage from 0% to 100%"},
		{"a fleet that tolerates 101%", goodFleet, "spec.maxFailures", "101%", "maxFailures is a number of at least 0, or a percentage from 0% to 100%"},
		{"a fleet that reports drift", goodFleet, "spec.drift", "Report", ""},
		{"a fleet that fights drift", goodFleet, "spec.drift", "Fight", `supported values: "Correct", "Report"`},
		{"no wave", goodFleet, "spec.waves", `[]`, "should have at least 1 items"},
		{"a nameless wave", goodFleet, "spec.waves", `[{name: ""}]`, "should be at least 1 chars long"},
		{"half of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 50%}]`, ""},
		{"none of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 0}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},

		{"0% of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 0%}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},

		{"101% of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 101%}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},

		{"a day of settling", goodFleet, "spec.settle", "24h", ""},
		{"more than a day of settling", goodFleet, "spec.settle", "25h", "settle is between 0s and 24h"},
		{"settling for no duration", goodFleet, "spec.settle", "soon", "settle is between 0s and 24h"},
		{"settling backwards", goodFleet, "spec.settle", "-1s", "settle is between 0s and 24h"},
		{"a week of baking", goodFleet, "spec.bake", "168h", ""},
		{"more than a week of baking", goodFleet, "spec.bake", "169h", "bake is between 0s and 168h"},
		{"baking backwards", goodFleet, "spec.bake", "-1s", "bake is between 0s and 168h"},
		{"baking for no duration", goodFleet, "spec.bake", "soon", "bake is between 0s and 168h"},
		{"no surge, one unavailable", goodFleet, "spec.nodes", "{maxSurge: 0, maxUnavailable: 1}", ""},
		{"no surge, none unavailable", goodFleet, "spec.nodes", "{maxSurge: 0}", "no node could ever be replaced"},
		{"0% of surge, 0% unavailable", goodFleet, "spec.nodes", "{maxSurge: 0%, maxUnavailable: 0%}", "no node could ever be replaced"},
		{"a negative surge", goodFleet, "spec.nodes", "{maxSurge: -1}", "maxSurge is a number of at least 0"},
		{"a surge in words", goodFleet, "spec.nodes", "{maxSurge: some}", "maxSurge is a number of at least 0"},
		{"a pool twice over", goodFleet, "spec.nodes", "{maxSurge: 100%, maxUnavailable: 100%}", ""},
		{"101% of surge", goodFleet, "spec.nodes", "{maxSurge: 101%}", "maxSurge is a number of at least 0, or a percentage from 0% to 100%"},
		{"a negative unavailability", goodFleet, "spec.nodes", "{maxUnavailable: -1}", "maxUnavailable is a number of at least 0"},
		{"an unavailability in words", goodFleet, "spec.nodes", "{maxUnavailable: some}", "maxUnavailable is a number of at least 0"},
		{"101% unavailable", goodFleet, "spec.nodes", "{maxUnavailable: 101%}", "maxUnavailable is a number of at least 0, or a percentage from 0% to 100%"},

		{"an upgrade", goodUpgrade, "", "", ""},
		{"an upgrade of another member's name", goodUpgrade, "metadata.name", "payments-eu-2.1", "an upgrade is named <member>.<n>"},
		{"an upgrade without a number", goodUpgrade, "metadata.name", "payments-eu-1", "an upgrade is named <member>.<n>"},
		{"upgrade number 0", goodUpgrade, "metadata.name", "payments-eu-1.0", "an upgrade is named <member>.<n>"},
		{"an upgrade of revision 0", goodUpgrade, "spec.revision", "0", "greater than or equal to 1"},
		{"an upgrade without a release's hash", goodUpgrade, "spec.release", "{name: x}", "hash: Required value"},

		{"an upgrade that goes back", goodUpgrade, "spec.end", "RollBack", `supported values: "Abort"`},
		{"an upgrade that ends for no reason", goodUpgrade, "spec.end", "Abort", "end and endReason go together: say why"},
		{"an upgrade with a reason to end", goodUpgrade, "spec.endReason", "wrong night", "end and endReason go together: say why"},
		{"an upgrade with two lines of reason", goodUpgrade, "spec.endReason", `"a\nb"`, "endReason is one line that says why"},
		{"an upgrade of no hub", goodUpgrade, "spec.hub", `""`, "should be at least 1 chars long"},
		{"an upgrade without a hub", goodUpgrade, "spec", "{member: payments-eu-1, release: {name: x, hash: abc}, fleet: main, fleetUID: u1, revision: 1, wave: all}", "spec.hub: Required value"},

		{"a freeze", goodFreeze, "", "", ""},
		{"a freeze of everything, for ever", goodFreeze, "spec", "{reason: x}", ""},
		{"a freeze without a reason", goodFreeze, "spec", "{fleet: main}", "spec.reason: Required value"},
		{"a freeze with an empty reason", goodFreeze, "spec.reason", `""`, "should be at least 1 chars long"},
		{"a freeze with a blank reason", goodFreeze, "spec.reason", `"  "`, "reason is one line that says why"},
		{"a freeze with two lines of reason", goodFreeze, "spec.reason", `"a\nb"`, "reason is one line that says why"},
		{"a freeze whose reason paints the terminal", goodFreeze, "spec.reason", `"\e[31m"`, "reason is one line that says why"},
		{"a freeze with a reason in any script", goodFreeze, "spec.reason", "праздники 🎄", ""},
		{"a freeze with an endless reason", goodFreeze, "spec.reason", strings.Repeat("a", 1025), "may not be more than 1024"},
		{"a freeze that ends before it begins", goodFreeze, "spec.until", `"2026-12-19T23:59:59Z"`, "until is after from"},
		{"a freeze that ends as it begins", goodFreeze, "spec.until", `"2026-12-20T00:00:00Z"`, "until is after from"},
		{"a freeze until some day", goodFreeze, "spec.until", "tomorrow", "spec.until"},
		{"a freeze of a nameless fleet", goodFreeze, "spec.fleet", `""`, "should be at least 1 chars long"},
		{"a freeze of a nameless member", goodFreeze, "spec.member", `""`, "should be at least 1 chars long"},
		{"a freeze of a member with a long name", goodFreeze, "spec.member", strings.Repeat("a", 51), "may not be more than 50"},
		{"a freeze that leaves out a member", goodFreeze, "spec", "{member: one, stops: Skip, reason: x}", ""},
		{"a freeze that leaves out a fleet", goodFreeze, "spec", "{fleet: main, stops: Skip, reason: x}", "Skip leaves one member out: name it in member; to hold a fleet use stops: Starts"},
		{"a freeze that stops everything", goodFreeze, "spec.stops", "Everything", ""},
		{"a freeze that stops time", goodFreeze, "spec.stops", "Time", `supported values: "Starts", "Everything", "Skip"`},

		{"an approval to start again", goodApproval, "", "", ""},
		{"an approval to go on", goodApproval, "spec", "{fleet: main, revision: 7, subject: Resume, reason: x}", ""},
		{"an approval without a fleet", goodApproval, "spec", "{revision: 1, subject: Resume, reason: x}", "name the fleet that it is about in fleet"},
		{"an approval of a nameless fleet", goodApproval, "spec.fleet", `""`, "should be at least 1 chars long"},
		{"an approval without a revision", goodApproval, "spec", "{fleet: main, subject: Resume, reason: x}", "name the fleet's revision that it is about in revision"},
		{"an approval of revision 0", goodApproval, "spec.revision", "0", "greater than or equal to 1"},
		{"an approval without a subject", goodApproval, "spec", "{fleet: main, revision: 1, reason: x}", "spec.subject: Required value"},
		{"an approval of something else", goodApproval, "spec.subject", "Wave", `supported values: "Resume", "Retry", "TakeOver"`},
		{"an approval to start nobody again", goodApproval, "spec", "{fleet: main, revision: 1, subject: Retry, reason: x}", "Retry is of one member: name it in name"},
		{"an approval for one member to go on", goodApproval, "spec.subject", "Resume", "Resume is of the whole fleet: leave name out, or use subject: Retry for one member"},
		{"an approval to take over", goodApproval, "spec", "{subject: TakeOver, hub: h2, name: h1, reason: x}", ""},
		{"a take-over by nobody", goodApproval, "spec", "{subject: TakeOver, name: h1, reason: x}", "TakeOver is of this hub: name its UID in hub; others have no hub"},
		{"a hub's approval to go on", goodApproval, "spec", "{fleet: main, revision: 7, subject: Resume, hub: h2, reason: x}", "TakeOver is of this hub: name its UID in hub; others have no hub"},
		{"a take-over from nobody", goodApproval, "spec", "{subject: TakeOver, hub: h2, reason: x}", "TakeOver is from another hub, for good: name its UID in name"},
		{"a take-over of a fleet", goodApproval, "spec", "{subject: TakeOver, hub: h2, name: h1, fleet: main, reason: x}", "leave out fleet, revision and until"},
		{"a take-over of a revision", goodApproval, "spec", "{subject: TakeOver, hub: h2, name: h1, revision: 1, reason: x}", "leave out fleet, revision and until"},
		{"a take-over for a while", goodApproval, "spec", `{subject: TakeOver, hub: h2, name: h1, until: "2027-01-04T08:00:00Z", reason: x}`, "leave out fleet, revision and until"},
		{"a take-over by a hub of no name", goodApproval, "spec", `{subject: TakeOver, hub: "", name: h1, reason: x}`, "should be at least 1 chars long"},
		{"an approval without a reason", goodApproval, "spec", "{fleet: main, revision: 1, subject: Resume}", "spec.reason: Required value"},
		{"an approval with a blank reason", goodApproval, "spec.reason", `" "`, "reason is one line that says why"},
		{"an approval with two lines of reason", goodApproval, "spec.reason", `"a\nb"`, "reason is one line that says why"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, test.object)
			if test.path != "" {
				setPath(t, object, test.path, test.set)
			}
			err := c.Create(t.Context(), object, client.DryRunAll)
			judgeRefusal(t, err, test.want)
		})
	}
}

// TestImmutability shows what cannot be changed once it was created, and that
// the rest of the same object can.
func TestImmutability(t *testing.T) {
	config := startHub(t)
	c := as(t, config, "", "")
	t.Run("a fleet that is older than the rules", func(t *testing.T) { writeOlderFleet(t, c, config) })
	t.Run("the end of an upgrade", func(t *testing.T) { endOnce(t, c) })
	t.Run("a release that is withdrawn", func(t *testing.T) { withdrawOnce(t, c) })
	for _, test := range []struct {
		name, object, path, set, want string
	}{
		{"a member's provider", goodMember, "spec.provider.local.name", "other", "a member's provider cannot change"},
		{"a member's labels", goodMember, "metadata.labels", "{env: prod}", ""},
		{"a release's bundle", goodRelease, "spec.bundle.kubernetes", "v1.37.3", "a release's bundle never changes"},
		{"a release's hops", goodRelease, "spec.bundle.hops", "{}", "a release's bundle never changes"},
		{"a release's annotations", goodRelease, "metadata.annotations", "{why: security}", ""},
		{"an upgrade's release", goodUpgrade, "spec.release.hash", "other", "an upgrade's spec never changes"},
		{"an upgrade's wave", goodUpgrade, "spec.wave", "other", "an upgrade's spec never changes"},
		{"an upgrade's labels", goodUpgrade, "metadata.labels", "{seen: by-me}", ""},
		{"a freeze's reason", goodFreeze, "spec.reason", "another", "a freeze never changes, so that what people agreed on holds: delete it, and create another"},
		{"a freeze's end", goodFreeze, "spec.until", `"2027-01-05T08:00:00Z"`, "a freeze never changes"},
		{"an approval's end", goodApproval, "spec.until", `"2027-01-05T08:00:00Z"`, "an approval never changes: delete it, and create another"},
		{"an approval's reason", goodApproval, "spec.reason", "another", "an approval never changes"},
		{"a fleet's release", goodFleet, "spec.release", `"2026.12"`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, test.object)
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			changed := object.DeepCopy()
			setPath(t, changed, test.path, test.set)
			judgeRefusal(t, c.Update(t.Context(), changed), test.want)
			if err := c.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// endOnce: a person ends an upgrade once, for one reason.
func endOnce(t *testing.T, c client.Client) {
	object := parse(t, goodUpgrade)
	judgeRefusal(t, c.Create(t.Context(), object), "")
	setPath(t, object, "spec.end", "Abort")
	setPath(t, object, "spec.endReason", "wrong night")
	judgeRefusal(t, c.Update(t.Context(), object), "")
	for _, change := range []func(*unstructured.Unstructured){
		func(o *unstructured.Unstructured) { setPath(t, o, "spec.endReason", "another") },
		func(o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "end")
			unstructured.RemoveNestedField(o.Object, "spec", "endReason")
		},
	} {
		changed := object.DeepCopy()
		change(changed)
		judgeRefusal(t, c.Update(t.Context(), changed), "the end of an upgrade is set once")
	}
	judgeRefusal(t, c.Delete(t.Context(), object), "")
}

// withdrawOnce: what was withdrawn stays so.
func withdrawOnce(t *testing.T, c client.Client) {
	object := parse(t, goodRelease)
	judgeRefusal(t, c.Create(t.Context(), object), "")
	setPath(t, object, "spec.withdrawn", "{reason: loses volumes}")
	judgeRefusal(t, c.Update(t.Context(), object), "")
	changed := object.DeepCopy()
	setPath(t, changed, "spec.withdrawn.reason", "another")
	judgeRefusal(t, c.Update(t.Context(), changed), "a release that was withdrawn stays so, and why does too")
	changed = object.DeepCopy()
	unstructured.RemoveNestedField(changed.Object, "spec", "withdrawn")
	judgeRefusal(t, c.Update(t.Context(), changed), "a release that was withdrawn stays so: create a new Release")
	judgeRefusal(t, c.Delete(t.Context(), object), "")
}

// TestDefaults shows what an object is that says no more than it must.
func TestDefaults(t *testing.T) {
	c := newHub(t)
	const goodHold = "{apiVersion: refit.dev/v1alpha1, kind: Freeze, metadata: {name: hold, namespace: refit}, spec: {reason: holidays}}"
	for _, test := range []struct{ object, want string }{
		{goodFleet, `bake: 10m
drift: Correct
maxFailures: 0
nodes:
  maxSurge: 10%
  maxUnavailable: 0
release: "2026.11"
selector: {}
settle: 1m
waves:
- maxConcurrent: 1
  minSuccess: 100%
  name: all
  soak: 0s
`},
		{goodHold, `reason: holidays
stops: Starts
`},
	} {
		object := parse(t, test.object)
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		spec, err := yaml.Marshal(object.Object["spec"])
		if err != nil {
			t.Fatal(err)
		}
		if string(spec) != test.want {
			t.Errorf("spec of a %s with defaults:\n%s\nwant:\n%s", object.GetKind(), spec, test.want)
		}
	}
}
