package chart_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"refit.dev/refit/deploy/chart"
)

// mutating is what an API server from v1.36 on says that it knows.
const mutating = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"

// somewhere is the least that a person has to say.
func somewhere() map[string]any {
	return map[string]any{"image": map[string]any{"repository": "registry.example/refit"}}
}

func everything(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func load(t *testing.T) *v2.Chart {
	t.Helper()
	loaded, err := loader.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// render is what Helm would send, by the files that it comes from.
func render(t *testing.T, values map[string]any, known ...string) (map[string]string, error) {
	t.Helper()
	loaded := load(t)
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.APIVersions = known
	in, err := util.ToRenderValues(loaded, values, common.ReleaseOptions{Name: "refit", Namespace: "fleets", IsInstall: true, Revision: 1}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, in)
}

// objects decodes every manifest, strictly: a field that is misspelt, or there twice, is an error.
func objects(t *testing.T, values map[string]any, known ...string) []client.Object {
	t.Helper()
	files, err := render(t, values, known...)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []client.Object
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq("\n"+files[file], "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, _, err := decoder.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, document)
			}
			all = append(all, object.(client.Object))
		}
	}
	return all
}

// find is the one object of a kind that has a name.
func find[T client.Object](t *testing.T, all []client.Object, name string) T {
	t.Helper()
	for _, object := range all {
		if found, ok := object.(T); ok && object.GetName() == name {
			return found
		}
	}
	var none T
	t.Fatalf("there is no %T %s", none, name)
	return none
}

// names are the kinds and names of what is installed.
func names(all []client.Object) []string {
	var names []string
	for _, object := range all {
		names = append(names, object.GetObjectKind().GroupVersionKind().Kind+" "+object.GetName())
	}
	slices.Sort(names)
	return names
}

// TestLint: nothing that "helm lint --strict" has to say.
func TestLint(t *testing.T) {
	for name, values := range map[string]map[string]any{"default": somewhere(), "all": everything(t)} {
		for _, message := range lint.RunAll(".", values, "fleets").Messages {
			if !strings.Contains(message.Error(), "icon is recommended") {
				t.Errorf("%s: %v", name, message)
			}
		}
	}
}

// TestObjects: what is installed, by default and with every value.
func TestObjects(t *testing.T) {
	want := []string{
		"ClusterRole refit-admin", "ClusterRole refit-admin-cluster", "ClusterRole refit-controllers", "ClusterRole refit-operator",
		"ClusterRole refit-viewer", "ClusterRole refit-viewer-cluster", "ClusterRoleBinding refit-controllers",
		"CustomResourceDefinition approvals.refit.dev", "CustomResourceDefinition clusterupgrades.refit.dev", "CustomResourceDefinition fleets.refit.dev",
		"CustomResourceDefinition freezes.refit.dev", "CustomResourceDefinition memberclusters.refit.dev", "CustomResourceDefinition releases.refit.dev",
		"Deployment refit-controllers", "PodDisruptionBudget refit-controllers", "Role refit-controllers", "RoleBinding refit-controllers",
		"ServiceAccount refit-controllers", "ValidatingAdmissionPolicy refit-author", "ValidatingAdmissionPolicyBinding refit-author",
	}
	if diff := cmp.Diff(want, names(objects(t, somewhere()))); diff != "" {
		t.Errorf("by default, before v1.36 (-want +got):\n%s", diff)
	}
	want = append(want, "MutatingAdmissionPolicy refit-author", "MutatingAdmissionPolicyBinding refit-author", "Service refit-metrics")
	slices.Sort(want)
	if diff := cmp.Diff(want, names(objects(t, everything(t), mutating))); diff != "" {
		t.Errorf("with every value, from v1.36 on (-want +got):\n%s", diff)
	}
	alone := somewhere()
	alone["replicas"] = 1
	if got := names(objects(t, alone)); slices.Contains(got, "PodDisruptionBudget refit-controllers") {
		t.Error("the only process has a budget, and its node cannot be drained")
	}
}

// TestSameAsLinked: the chart installs the kinds, policies and roles that the binary has in it, and keeps the kinds.
func TestSameAsLinked(t *testing.T) {
	all := objects(t, somewhere(), mutating)
	kinds, err := chart.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		got := find[*apiextensionsv1.CustomResourceDefinition](t, all, kind.Name)
		if got.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("helm uninstall deletes every object of %s", kind.Name)
		}
		if diff := cmp.Diff(kind.Spec, got.Spec); diff != "" {
			t.Errorf("%s (-linked +chart):\n%s", kind.Name, diff)
		}
	}
	roles, err := chart.Roles()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		got := find[*rbacv1.ClusterRole](t, all, role.Name)
		if diff := cmp.Diff(role.Rules, got.Rules); diff != "" || !maps.Equal(role.Labels, got.Labels) {
			t.Errorf("%s: labels %v; rules (-linked +chart):\n%s", role.Name, got.Labels, diff)
		}
	}
	policies, err := chart.Policies()
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range policies {
		if !slices.Contains(names(all), policy.GetKind()+" "+policy.GetName()) {
			t.Errorf("there is no %s %s", policy.GetKind(), policy.GetName())
		}
	}
}

// TestEveryValue: no value is without a test, and the schema knows each: one that it does not know it refuses.
func TestEveryValue(t *testing.T) {
	if diff := cmp.Diff(paths("", load(t).Values), paths("", everything(t))); diff != "" {
		t.Errorf("values.yaml against testdata/all.yaml (-want +got):\n%s", diff)
	}
}

// open are values whose keys are people's own.
var open = []string{"serviceAccount.annotations", "nodeSelector", "resources.requests", "resources.limits"}

// paths are the names of all values, as --set has them.
func paths(prefix string, values map[string]any) []string {
	var all []string
	for name, value := range values {
		inner, isMap := value.(map[string]any)
		if name = prefix + name; isMap && !slices.Contains(open, name) {
			all = append(all, paths(name+".", inner)...)
		} else {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// TestSchema: bad values are refused, and the answer names them.
func TestSchema(t *testing.T) {
	for _, test := range []struct{ set, want string }{
		{"replicas=0", "/replicas"},
		{"replicas=two", "/replicas"},
		{"replica=2", "replica"},
		{"image.repository=https://registry.example/Refit", "/image/repository"},
		{"image.tag=v1+2", "/image/tag"},
		{"image.digest=4e07", "/image/digest"},
		{"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		{"image.registry=x", "registry"},
		{"image.repository=", "image.repository is empty: name where you have pushed"},
		{"imagePullSecrets[0]=registry", "/imagePullSecrets/0"},
		{"serviceAccount.annotations.a=1", "/serviceAccount/annotations/a"},
		{"logLevel=loud", "/logLevel"},
		{"gateHosts[0]=http://prometheus", "/gateHosts/0"},
		{"kubeconfigSecrets=management", "/kubeconfigSecrets"},
		{"kubeconfigSecrets[0]=Management", "/kubeconfigSecrets/0"},
		{"metrics.enabled=yes", "/metrics/enabled"},
		{"metrics.port=80", "/metrics/port"},
		{"metrics.port=8081", "/metrics/port"}, // is the probes'
		{"webhook.secretName=On Call", "/webhook/secretName"},
		{"webhook.key=", "/webhook/key"},
		{"resources.claims[0]=x", "claims"},
		{"nodeSelector.a=true", "/nodeSelector/a"},
		{"tolerations[0]=x", "/tolerations/0"},
		{"priorityClassName=1", "/priorityClassName"},
	} {
		values := somewhere()
		if err := strvals.ParseInto(test.set, values); err != nil {
			t.Fatal(err)
		}
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.set, err, test.want)
		}
	}
}

// TestDeployment: who it runs as, what it may touch, and what every value does to it.
func TestDeployment(t *testing.T) {
	d := find[*appsv1.Deployment](t, objects(t, somewhere()), "refit-controllers")
	pod, container := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if got := *d.Spec.Replicas; got != 2 {
		t.Errorf("%d replicas, want 2", got)
	}
	if diff := cmp.Diff(&corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}, pod.SecurityContext); diff != "" {
		t.Errorf("the pod (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}, container.SecurityContext); diff != "" {
		t.Errorf("the container (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"controllers", "--namespace=fleets", "--log-level=info", "--health=:8081"}, container.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if container.Image != "registry.example/refit:v0.0.0-dev" {
		t.Errorf("image %s", container.Image)
	}
	for _, constraint := range pod.TopologySpreadConstraints {
		if diff := cmp.Diff(d.Spec.Selector, constraint.LabelSelector); diff != "" {
			t.Errorf("spread over %s (-want +got):\n%s", constraint.TopologyKey, diff)
		}
	}
	if len(pod.TopologySpreadConstraints) != 2 || container.LivenessProbe.HTTPGet.Path != "/healthz" || container.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("spread %v, probes %v, %v", pod.TopologySpreadConstraints, container.LivenessProbe, container.ReadinessProbe)
	}
	budget := find[*policyv1.PodDisruptionBudget](t, objects(t, somewhere()), "refit-controllers")
	if budget.Spec.MinAvailable.IntValue() != 1 || !cmp.Equal(budget.Spec.Selector, d.Spec.Selector) {
		t.Errorf("budget %+v", budget.Spec)
	}
}

// TestDeploymentWithAll: what every value does.
func TestDeploymentWithAll(t *testing.T) {
	all := objects(t, everything(t))
	d := find[*appsv1.Deployment](t, all, "refit-controllers")
	pod, container := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	want := []string{
		"controllers", "--namespace=fleets", "--log-level=debug", "--health=:8081", "--metrics=:9999", "--webhook=/etc/refit/webhook/address",
		"--gate-host=prometheus.monitoring:9090", "--gate-host=[::1]:9090",
		"--source-prefix=https://git.example/infrastructure",
	}
	if diff := cmp.Diff(want, container.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	got := []string{
		fmt.Sprint(*d.Spec.Replicas), container.Image, string(container.ImagePullPolicy), pod.ImagePullSecrets[0].Name, pod.PriorityClassName,
		pod.NodeSelector["kubernetes.io/os"], pod.Tolerations[0].Key, container.Resources.Requests.Cpu().String(), container.Resources.Limits.Memory().String(),
		pod.Volumes[1].Secret.SecretName, filepath.Dir(strings.TrimPrefix(container.Args[5], "--webhook=")),
		find[*corev1.ServiceAccount](t, all, "refit-controllers").Annotations["eks.amazonaws.com/role-arn"],
	}
	if diff := cmp.Diff([]string{
		"3", "registry.example:5000/team/refit@sha256:4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce", "Always", "registry",
		"system-cluster-critical", "linux", "node-role.kubernetes.io/control-plane", "1", "2Gi", "on-call", container.VolumeMounts[1].MountPath,
		"arn:aws:iam::111122223333:role/refit",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	service := find[*corev1.Service](t, all, "refit-metrics")
	if service.Spec.Ports[0].Port != 9999 || container.Ports[1].ContainerPort != 9999 || !cmp.Equal(service.Spec.Selector, d.Spec.Selector.MatchLabels) {
		t.Errorf("service %+v, ports %+v", service.Spec, container.Ports)
	}
}

// TestNoWildcards: every right is named, and none of them lets Refit give itself another. It reads no secrets but those
// that people have named.
func TestNoWildcards(t *testing.T) {
	byDefault, all := objects(t, somewhere()), objects(t, everything(t))
	kubeconfigs := rbacv1.PolicyRule{
		Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"management-eu", "management-us"},
	}
	role := find[*rbacv1.Role](t, all, "refit-controllers").Rules
	i := slices.IndexFunc(role, func(rule rbacv1.PolicyRule) bool { return cmp.Equal(rule, kubeconfigs) })
	if i < 0 {
		t.Fatalf("Role: %v does not have %v", role, kubeconfigs)
	}
	for name, rules := range map[string][]rbacv1.PolicyRule{
		"Role by default": find[*rbacv1.Role](t, byDefault, "refit-controllers").Rules,
		"Role":            slices.Delete(role, i, i+1),
		"ClusterRole":     find[*rbacv1.ClusterRole](t, all, "refit-controllers").Rules,
	} {
		for _, rule := range rules {
			for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
				if slices.Contains([]string{"*", "secrets", "rbac.authorization.k8s.io", "escalate", "bind", "impersonate"}, word) {
					t.Errorf("%s: %v has %q", name, rule, word)
				}
			}
		}
	}
}
