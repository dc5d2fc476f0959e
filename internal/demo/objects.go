package demo

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
)

// workloads that each member runs: pods, and how many must be available.
func workloads() []workload {
	return []workload{
		{name: "web", replicas: 6, minAvailable: 5},
		{name: "api", replicas: 4, minAvailable: 3},
		{name: "cache", replicas: 2, minAvailable: 1},
	}
}

type workload struct {
	name                   string
	replicas, minAvailable int32
}

// startTimeout is how long workloads may take to be Ready: a second or two,
// and much longer on a busy machine.
const startTimeout = 2 * time.Minute

// startWorkloads creates the workloads, and returns when all pods are available
// and every budget has counted them.
func startWorkloads(ctx context.Context, config *rest.Config) error {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("start workloads: %w", err)
	}
	for _, w := range workloads() {
		if err := w.create(ctx, kube); err != nil {
			return fmt.Errorf("start workload %s: %w", w.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for _, w := range workloads() {
		for {
			ready, err := w.available(ctx, kube)
			if err != nil {
				return fmt.Errorf("wait for workload %s: %w", w.name, err)
			}
			if ready {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for workload %s: %w", w.name, ctx.Err())
			case <-ticker.C:
			}
		}
	}
	return nil
}

func (w workload) create(ctx context.Context, kube kubernetes.Interface) error {
	labels := map[string]string{"app": w.name}
	meta := metav1.ObjectMeta{Name: w.name, Namespace: metav1.NamespaceDefault}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	_, err := kube.AppsV1().Deployments(meta.Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: new(w.replicas), Selector: selector,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers:                    []corev1.Container{{Name: "main", Image: "registry.example/" + w.name}},
					TerminationGracePeriodSeconds: new(int64(1)),
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	floor := intstr.FromInt32(w.minAvailable)
	_, err = kube.PolicyV1().PodDisruptionBudgets(meta.Namespace).Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &floor, Selector: selector},
	}, metav1.CreateOptions{})
	return err
}

func (w workload) available(ctx context.Context, kube kubernetes.Interface) (bool, error) {
	deployment, err := kube.AppsV1().Deployments(metav1.NamespaceDefault).Get(ctx, w.name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	budget, err := kube.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Get(ctx, w.name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	return deployment.Status.AvailableReplicas == w.replicas && budget.Status.CurrentHealthy == w.replicas, nil
}

const fleetName = "demo"

// soak is how long the canary must stay healthy before the rest follows.
const soak = 5 * time.Second

// canary is the label of the first member.
func canary() map[string]string { return map[string]string{"wave": "canary"} }

func releaseOf(version fleet.Version) *v1.Release {
	return &v1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes-" + version.MinorName()},
		Spec:       v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: version.String()}},
	}
}

// createFleet makes a fleet of all members at the version they have: one of them
// goes first, and two at once follow. It settles, bakes and soaks for seconds where a real fleet takes minutes.
func createFleet(ctx context.Context, c client.Client, namespace string, version fleet.Version) error {
	release, all := releaseOf(version), intstr.FromString("100%")
	if err := c.Create(ctx, release); err != nil {
		return fmt.Errorf("create release %s: %w", release.Name, err)
	}
	err := c.Create(ctx, &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fleetName},
		Spec: v1.FleetSpec{
			Release: release.Name,
			Waves: []v1.Wave{
				{
					Name: "canary", Selector: &v1.Selector{MatchLabels: canary()}, MaxConcurrent: intstr.FromInt32(1),
					MinSuccess: all, Soak: metav1.Duration{Duration: soak},
				},
				{Name: "rest", MaxConcurrent: intstr.FromInt32(2), MinSuccess: all, AllowEmpty: true},
			},
			Settle: metav1.Duration{Duration: 2 * time.Second},
			Bake:   metav1.Duration{Duration: 2 * time.Second},
			Nodes:  v1.NodePolicy{MaxSurge: intstr.FromInt32(1)},
		},
	})
	if err != nil {
		return fmt.Errorf("create fleet %s: %w", fleetName, err)
	}
	return nil
}

// changeRelease is all that a person does.
func changeRelease(ctx context.Context, c client.Client, namespace string, version fleet.Version) error {
	release := releaseOf(version)
	if err := c.Create(ctx, release); err != nil {
		return fmt.Errorf("create release %s: %w", release.Name, err)
	}
	f := &v1.Fleet{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: fleetName}, f); err != nil {
		return fmt.Errorf("change the fleet's release: %w", err)
	}
	patch := client.MergeFrom(f.DeepCopy())
	f.Spec.Release = release.Name
	if err := c.Patch(ctx, f, patch); err != nil {
		return fmt.Errorf("change the fleet's release: %w", err)
	}
	return nil
}
