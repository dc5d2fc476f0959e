package v1alpha1_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"refit.dev/refit/deploy/chart"
)

// effects names, for every field of every kind, a test that shows its effect.
// A prefix that ends in a star stands for everything below it: the conditions
// alone, for they are Kubernetes' own.
func effects() map[string]string {
	return map[string]string{
		"MemberCluster.spec.provider.eks.region":                   "TestReachEKS",
		"MemberCluster.spec.provider.eks.name":                     "TestReachEKS",
		"MemberCluster.spec.provider.object.profile":               "TestReachObject",
		"MemberCluster.spec.provider.object.namespace":             "TestReachObject",
		"MemberCluster.spec.provider.object.name":                  "TestReachObject",
		"MemberCluster.spec.provider.object.kubeconfig.secretName": "TestReachObject",
		"MemberCluster.spec.provider.object.kubeconfig.key":        "TestReachObject",
		"MemberCluster.spec.provider.local.name":                   "TestClusterOfASilentMember",
		"MemberCluster.spec.provider.fake":                         "TestUpWithMadeUpMembers",
		"MemberCluster.spec.source.mode":                           "TestSourceOfAMember",
		"MemberCluster.spec.source.git.url":                        "TestSourceOfAMember",
		"MemberCluster.spec.source.git.branch":                     "TestSourceOfAMember",
		"MemberCluster.spec.source.terraform.file":                 "TestSourceOfAMember",
		"MemberCluster.spec.source.terraform.attribute":            "TestSourceOfAMember",
		"MemberCluster.status.source.declared":                     "TestMembersReportDrift",
		"MemberCluster.status.source.file":                         "TestMembersReportDrift",
		"MemberCluster.status.source.line":                         "TestMembersReportDrift",
		"MemberCluster.status.source.commit":                       "TestMembersReportDrift",
		"MemberCluster.status.observedGeneration":                  "TestMembersRecordsWhatItSees",
		"MemberCluster.status.uid":                                 "TestMembersRecordsWhatItSees",
		"MemberCluster.status.controlPlane.version":                "TestMembersRecordsWhatItSees",
		"MemberCluster.status.controlPlane.newest":                 "TestMembersRecordsWhatItSees",
		"MemberCluster.status.controlPlane.picksPatch":             "TestMembersRecordsWhatItSees",
		"MemberCluster.status.nodes.total":                         "TestMembersRecordsWhatItSees",
		"MemberCluster.status.nodes.ready":                         "TestMembersRecordsWhatItSees",
		"MemberCluster.status.nodes.oldest":                        "TestMembersRecordsWhatItSees",
		"MemberCluster.status.pools.name":                          "TestMembersRecordsWhatItSees",
		"MemberCluster.status.pools.version":                       "TestMembersRecordsWhatItSees",
		"MemberCluster.status.pools.nodes":                         "TestMembersRecordsWhatItSees",
		"MemberCluster.status.observedAt":                          "TestMembersRecordsWhatItSees",
		"MemberCluster.status.foreign.count":                       "TestMembersTellForeignChanges",
		"MemberCluster.status.foreign.last.at":                     "TestMembersTellForeignChanges",
		"MemberCluster.status.foreign.last.what":                   "TestMembersTellForeignChanges",
		"MemberCluster.status.conditions.*":                        "TestMembersRecordsWhatItSees",

		"Release.spec.bundle.kubernetes":             "TestJourneyTwoMinors",
		"Release.spec.bundle.hops":                   "TestUpgradesFollowTheFleet",
		"Release.spec.bundle.addOns.name":            "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.when":            "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.versions":        "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.healthyWithin":   "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.helm.repository": "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.helm.chart":      "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.helm.namespace":  "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.helm.release":    "TestAddOnsOfABundle",
		"Release.spec.bundle.addOns.helm.values":     "TestAddOnsOfABundle",
		"Release.spec.withdrawn.reason":              "TestFleetsWithdraw",
		"Release.status.hash":                        "TestFleetsRecordAndStart",

		"Fleet.spec.selector.matchLabels":                     "TestFleetsRecordAndStart",
		"Fleet.spec.selector.matchExpressions.key":            "TestFleetsRecordAndStart",
		"Fleet.spec.selector.matchExpressions.operator":       "TestFleetsRecordAndStart",
		"Fleet.spec.selector.matchExpressions.values":         "TestFleetsRecordAndStart",
		"Fleet.spec.release":                                  "TestFleetsRecordAndStart",
		"Fleet.spec.waves.name":                               "TestFleetsRecordAndStart",
		"Fleet.spec.waves.maxConcurrent":                      "TestFleetsRecordAndStart",
		"Fleet.spec.waves.selector.matchLabels":               "TestFleetsRollInWaves",
		"Fleet.spec.waves.selector.matchExpressions.key":      "TestFleetsRollInWaves",
		"Fleet.spec.waves.selector.matchExpressions.operator": "TestFleetsRollInWaves",
		"Fleet.spec.waves.selector.matchExpressions.values":   "TestFleetsRollInWaves",
		"Fleet.spec.waves.soak":                               "TestFleetsRollInWaves",
		"Fleet.spec.waves.minSuccess":                         "TestWaves",
		"Fleet.spec.waves.maxFailures":                        "TestFleetsTolerate",
		"Fleet.spec.waves.allowEmpty":                         "TestFleetsPassEmptyWaves",
		"Fleet.spec.waves.gates.name":                         "TestFleetsAskGates",
		"Fleet.spec.waves.gates.interval":                     "TestFleetsAskGates",
		"Fleet.spec.waves.gates.failures":                     "TestFleetsAskGates",
		"Fleet.spec.waves.gates.prometheus.url":               "TestFleetsAskGates",
		"Fleet.spec.waves.gates.prometheus.query":             "TestFleetsAskGates",
		"Fleet.spec.waves.gates.prometheus.min":               "TestFleetsAskGates",
		"Fleet.spec.waves.gates.prometheus.max":               "TestFleetsAskGates",
		"Fleet.spec.maxFailures":                              "TestFleetsTolerate",
		"Fleet.spec.drift":                                    "TestFleetsReportDrift",
		"Fleet.spec.settle":                                   "TestUpgradesFollowTheFleet",
		"Fleet.spec.bake":                                     "TestUpgradesFollowTheFleet",
		"Fleet.spec.nodes.maxSurge":                           "TestUpgradesFollowTheFleet",
		"Fleet.spec.nodes.maxUnavailable":                     "TestUpgradesFollowTheFleet",
		"Fleet.status.observedGeneration":                     "TestFleetsRecordAndStart",
		"Fleet.status.revision":                               "TestFleetsRecordAndStart",
		"Fleet.status.release.name":                           "TestFleetsRecordAndStart",
		"Fleet.status.release.hash":                           "TestFleetsRecordAndStart",
		"Fleet.status.members.total":                          "TestFleetsRecordAndStart",
		"Fleet.status.members.done":                           "TestFleetsRecordAndStart",
		"Fleet.status.members.running":                        "TestFleetsRecordAndStart",
		"Fleet.status.members.waiting":                        "TestFleetsRecordAndStart",
		"Fleet.status.members.failed":                         "TestFleetsRecordAndStart",
		"Fleet.status.members.skipped":                        "TestFleetsHonourFreezes",
		"Fleet.status.waves.name":                             "TestFleetsRecordAndStart",
		"Fleet.status.waves.total":                            "TestFleetsRecordAndStart",
		"Fleet.status.waves.done":                             "TestFleetsRecordAndStart",
		"Fleet.status.waves.running":                          "TestFleetsRecordAndStart",
		"Fleet.status.waves.waiting":                          "TestFleetsRecordAndStart",
		"Fleet.status.waves.failed":                           "TestFleetsRecordAndStart",
		"Fleet.status.waves.skipped":                          "TestFleetsHonourFreezes",
		"Fleet.status.members.aborted":                        "TestFleetsTolerate",
		"Fleet.status.waves.aborted":                          "TestFleetsTolerate",
		"Fleet.status.waves.openedAt":                         "TestFleetsRollInWaves",
		"Fleet.status.waves.passedAt":                         "TestFleetsRollInWaves",
		"Fleet.status.waves.why":                              "TestFleetsRollInWaves",
		"Fleet.status.waves.gates.name":                       "TestFleetsAskGates",
		"Fleet.status.waves.gates.noYesSince":                 "TestFleetsAskGates",
		"Fleet.status.waves.gates.failedAt":                   "TestFleetsAskGates",
		"Fleet.status.waves.gates.said":                       "TestFleetsAskGates",
		"Fleet.status.waves.gates.fix":                        "TestFleetsAskGates",
		"Fleet.status.pins.provider":                          "TestFleetsPinWhatTheFirstNeeds",
		"Fleet.status.pins.minor":                             "TestFleetsPinWhatTheFirstNeeds",
		"Fleet.status.pins.version":                           "TestFleetsPinWhatTheFirstNeeds",
		"Fleet.status.pins.member":                            "TestFleetsPinWhatTheFirstNeeds",
		"Fleet.status.roster":                                 "TestFleetsShrink",
		"Fleet.status.lossAt":                                 "TestFleetsShrink",
		"Fleet.status.shrankAt":                               "TestFleetsShrink",
		"Fleet.status.effort.since":                           "TestFleetsCountActs",
		"Fleet.status.effort.revisions.revision":              "TestFleetsCountActs",
		"Fleet.status.effort.revisions.release":               "TestFleetsCountActs",
		"Fleet.status.effort.revisions.began":                 "TestFleetsCountActs",
		"Fleet.status.effort.revisions.reached":               "TestFleetsCountActs",
		"Fleet.status.effort.revisions.ended":                 "TestFleetsCountActs",
		"Fleet.status.effort.revisions.members":               "TestFleetsCountActs",
		"Fleet.status.effort.revisions.done":                  "TestFleetsCountActs",
		"Fleet.status.effort.revisions.people.by":             "TestFleetsCountActs",
		"Fleet.status.effort.revisions.people.acts":           "TestFleetsCountActs",
		"Fleet.status.effort.revisions.others":                "TestFleetsCountActs",
		"Fleet.status.effort.revisions.unknown":               "TestFleetsCountActs",
		"Fleet.status.effort.revisions.pruned.done":           "TestReport",
		"Fleet.status.effort.revisions.pruned.failed":         "TestFleetsCountWork",
		"Fleet.status.effort.revisions.pruned.aborted":        "TestReport",
		"Fleet.status.effort.revisions.pruned.superseded":     "TestReport",
		"Fleet.status.effort.revisions.pruned.controlPlanes":  "TestFleetsCountWork",
		"Fleet.status.effort.revisions.pruned.nodes":          "TestFleetsCountWork",
		"Fleet.status.effort.revisions.pruned.addOns":         "TestFleetsCountWork",
		"Fleet.status.effort.counted":                         "TestFleetsCountOnce",
		"Fleet.status.effort.uncounted":                       "TestFleetsHaveNoRoom",
		"Fleet.status.conditions.*":                           "TestFleetsRecordAndStart",

		"ClusterUpgrade.spec.member":               "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.release.name":         "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.release.hash":         "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.fleet":                "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.fleetUID":             "TestUpgradesSuperseded",
		"ClusterUpgrade.spec.revision":             "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.wave":                 "TestFleetsRecordAndStart",
		"ClusterUpgrade.spec.end":                  "TestUpgradesSuperseded",
		"ClusterUpgrade.spec.endReason":            "TestUpgradesSuperseded",
		"ClusterUpgrade.spec.hub":                  "TestRestoredHub",
		"ClusterUpgrade.status.observedGeneration": "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.from":               "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.to":                 "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.declared":           "TestUpgradesWriteBack",
		"ClusterUpgrade.status.path":               "TestFleetsPinWhatTheFirstNeeds",
		"ClusterUpgrade.status.hop":                "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.step":               "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.why.code":           "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.why.message":        "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.why.object":         "TestUpgradesSuperseded",
		"ClusterUpgrade.status.why.fix":            "TestUpgradesRecordFindings",
		"ClusterUpgrade.status.why.since":          "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.refused.code":       "TestUpgradesRefused",
		"ClusterUpgrade.status.refused.message":    "TestUpgradesRefused",
		"ClusterUpgrade.status.refused.object":     "TestUpgradesRefused",
		"ClusterUpgrade.status.refused.fix":        "TestReason",
		"ClusterUpgrade.status.refused.since":      "TestUpgradesRefused",
		"ClusterUpgrade.status.intents.change":     "TestUpgradesRecordBeforeActing",
		"ClusterUpgrade.status.intents.token":      "TestUpgradesRecordBeforeActing",
		"ClusterUpgrade.status.intents.at":         "TestUpgradesRecordBeforeActing",
		"ClusterUpgrade.status.steps.hop":          "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.steps.name":         "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.steps.started":      "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.steps.finished":     "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.nodes.total":        "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.nodes.done":         "TestUpgradesFollowTheFleet",
		"ClusterUpgrade.status.nodes.old":          "TestUpgradesCountNodesAsLongAsTheyAreSeen",
		"ClusterUpgrade.status.nodes.replaced":     "TestCrashMatrix",
		"ClusterUpgrade.status.addOns":             "TestCrashMatrix",
		"ClusterUpgrade.status.evictions.accepted": "TestUpgradesCountEvictions",
		"ClusterUpgrade.status.evictions.refused":  "TestUpgradesCountEvictions",
		"ClusterUpgrade.status.findings.check":     "TestUpgradesRecordFindings",
		"ClusterUpgrade.status.findings.message":   "TestUpgradesRecordFindings",
		"ClusterUpgrade.status.findings.evidence":  "TestUpgradesRecordFindings",
		"ClusterUpgrade.status.findings.fix":       "TestUpgradesRecordFindings",
		"ClusterUpgrade.status.conditions.*":       "TestUpgradesFollowTheFleet",

		"Freeze.spec.fleet":      "TestFleetsHonourFreezes",
		"Freeze.spec.member":     "TestFleetsHonourFreezes",
		"Freeze.spec.from":       "TestFleetsHonourFreezes",
		"Freeze.spec.until":      "TestFleetsHonourFreezes",
		"Freeze.spec.reason":     "TestFleetsHonourFreezes",
		"Freeze.spec.stops":      "TestFleetsHonourFreezes",
		"Approval.spec.fleet":    "TestFleetsHonourApprovals",
		"Approval.spec.revision": "TestFleetsHonourApprovals",
		"Approval.spec.subject":  "TestFleetsHonourApprovals",
		"Approval.spec.hub":      "TestTakeOver",
		"Approval.spec.name":     "TestFleetsHonourApprovals",
		"Approval.spec.until":    "TestFleetsHonourApprovals",
		"Approval.spec.reason":   "TestManifest",
	}
}

// TestEveryFieldHasAnEffect walks the schemas: there is no field that nothing
// reads, and no line for a field that is gone.
func TestEveryFieldHasAnEffect(t *testing.T) {
	crds, err := chart.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	used := map[string]bool{}
	for _, crd := range crds {
		for _, field := range fieldsOf(crd) {
			key, test := effectOf(field)
			used[key] = true
			switch {
			case test == "":
				t.Errorf("no test is named for %s", field)
			case !tests[test]:
				t.Errorf("%s names %s, and there is no such test", field, test)
			}
		}
	}
	for key := range effects() {
		if !used[key] {
			t.Errorf("%s is no field of any kind", key)
		}
	}
}

func effectOf(field string) (key, test string) {
	all := effects()
	if test, ok := all[field]; ok {
		return field, test
	}
	for key, test := range all {
		if prefix, wild := strings.CutSuffix(key, "*"); wild && strings.HasPrefix(field, prefix) {
			return key, test
		}
	}
	return "", ""
}

// fieldsOf are the paths of all leaves of a kind's spec and status.
func fieldsOf(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var fields []string
	for _, version := range crd.Spec.Versions {
		for _, part := range []string{"spec", "status"} {
			if schema, ok := version.Schema.OpenAPIV3Schema.Properties[part]; ok {
				fields = append(fields, leaves(crd.Spec.Names.Kind+"."+part, schema)...)
			}
		}
	}
	return fields
}

func leaves(path string, schema apiextensionsv1.JSONSchemaProps) []string {
	if schema.Items != nil && schema.Items.Schema != nil && len(schema.Items.Schema.Properties) > 0 {
		schema = *schema.Items.Schema
	}
	if len(schema.Properties) == 0 {
		return []string{path}
	}
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		fields = append(fields, leaves(path+"."+name, schema.Properties[name])...)
	}
	return fields
}

// testNames are the tests of the repository, by the sources.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	root := os.DirFS(filepath.Join("..", ".."))
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for _, match := range declaration.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
