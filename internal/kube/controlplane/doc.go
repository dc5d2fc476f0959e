// Package controlplane runs one real Kubernetes control plane on this machine:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok, which
// plays the kubelets.
//
// Everything it is lies in one folder, and everything it does follows one small
// loop: look at the processes, their health and the running upgrade (observe);
// decide the one thing to do next (plan.go, a pure function); write down what a
// crash must not forget (record); do it (act). So an upgrade that was killed at
// any moment goes on where it was, for where it is can be seen: by which
// versions run.
//
// The order of an upgrade is Kubernetes' own rule that nothing is newer than
// the API server: etcd is saved to a snapshot, the old API server ends, the new
// one starts and becomes Ready, then the controller-manager and the scheduler
// follow. Until the new API server was Ready once, the old one is taken back if
// it fails; from then on there is no way back, since it may have written what
// the old one cannot read. A snapshot is never restored without a person. A part
// that dies is started again, and said to be shaky until it has stayed up.
//
// The processes are nobody's children: whoever supervises a control plane may
// be killed, and the next one adopts what runs (package process).
package controlplane
