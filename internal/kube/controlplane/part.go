package controlplane

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/kube/controlplane/record"
)

// Part is one process of a control plane, by the name of its command.
type Part string

// The parts.
const (
	Etcd              Part = "etcd"
	APIServer         Part = "kube-apiserver"
	ControllerManager Part = "kube-controller-manager"
	Scheduler         Part = "kube-scheduler"
	Kwok              Part = "kwok"
)

// Parts lists them in the order they start in; they end in the opposite one.
func Parts() []Part { return []Part{Etcd, APIServer, ControllerManager, Scheduler, Kwok} }

// needs is the part that must be healthy before this one starts; "" for none.
func (p Part) needs() Part {
	switch p {
	case Etcd:
		return ""
	case APIServer:
		return Etcd
	case ControllerManager, Scheduler, Kwok:
	}
	return APIServer
}

// patience is how long a part may take to end before it is killed. An API
// server lets its requests and watches finish; etcd waits for its clients.
func (p Part) patience() time.Duration {
	if p == APIServer || p == Etcd {
		return 40 * time.Second
	}
	return 10 * time.Second
}

// Config is what a control plane is made of.
type Config struct {
	// Dir is its folder, with an absolute path.
	Dir string
	// Name is the name of the cluster in its kubeconfigs.
	Name string
	// Version is the one to begin with; upgrades change it later.
	Version string
	// EtcdVersion and KwokVersion stay as they are.
	EtcdVersion, KwokVersion string
	// Ports are those to begin with; one that is lost to someone else while the
	// control plane is stopped is replaced.
	Ports Ports
	// AuditLog makes the API server write who asked for what to logs/audit.log.
	AuditLog bool
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

func (c Config) pki() string { return c.path("pki") }

// Log is the file that gets what a part prints.
func Log(dir string, part Part) string {
	return filepath.Join(dir, "logs", string(part)+".log")
}

// AuditLog is the file of audited requests, one JSON object a line.
func AuditLog(dir string) string { return filepath.Join(dir, "logs", "audit.log") }

// Sockets are named relative to the folder, in which all parts run: the kernel
// takes no path of more than 108 bytes.
const (
	etcdSocket = "etcd.sock"
	peerSocket = "peer.sock"
)

// serviceRange is where the addresses of services come from. Nothing routes
// them: each control plane has the same.
const serviceRange = "10.96.0.0/16"

func firstServiceIP() net.IP { return net.IPv4(10, 96, 0, 1) }

// The node simulator's stages, and what the audit log holds of each request.
var (
	//go:embed stages.yaml
	stages []byte
	//go:embed audit.yaml
	auditPolicy []byte
)

// prepare makes the folders and the files that the parts read.
func (c Config) prepare(ports Ports, now time.Time) error {
	for _, folder := range []string{"pki", "etcd", "snapshots", "logs"} {
		if err := os.MkdirAll(c.path(folder), 0o700); err != nil {
			return fmt.Errorf("prepare the control plane of %s: %w", c.Name, err)
		}
	}
	if err := ensurePKI(c.pki(), now); err != nil {
		return fmt.Errorf("prepare the control plane of %s: %w", c.Name, err)
	}
	for file, text := range map[string][]byte{"stages.yaml": stages, "audit.yaml": auditPolicy} {
		if err := record.SaveText(c.path(file), text); err != nil {
			return err
		}
	}
	return c.writeKubeconfigs(ports)
}

// command says how to start a part of a version from a folder of binaries.
func (c Config) command(part Part, version, binaries string, ports Ports) process.Command {
	return process.Command{
		Path: filepath.Join(binaries, string(part)),
		Args: c.arguments(part, ports),
		Dir:  c.Dir,
		Env:  c.environment(),
		Mark: c.mark(part) + version,
		Log:  Log(c.Dir, part),
	}
}

// environment is the whole of it: a proxy or a kubeconfig that the user's shell
// knows must not change how a control plane runs. kwok reads a configuration
// from the home folder, so that is ours as well.
func (c Config) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TMPDIR=" + os.TempDir()}
}

// mark ends in a space, since a folder's name may begin with another's.
func (c Config) mark(part Part) string { return c.Dir + " " + string(part) + " " }

func (c Config) arguments(part Part, ports Ports) []string {
	switch part {
	case Etcd:
		return etcdArguments()
	case APIServer:
		return c.apiServerArguments(ports)
	case ControllerManager:
		return c.controllerManagerArguments(ports)
	case Scheduler:
		return append(c.clientArguments(Scheduler, ports.Scheduler), "--profiling=false")
	case Kwok:
		return []string{
			"--kubeconfig=" + c.kubeconfig(Kwok),
			"--config=stages.yaml", // in its folder: kwok takes a comma in a path for the end of it
			// By annotation, so that real and simulated nodes can live in one cluster.
			"--manage-nodes-with-annotation-selector=" + KwokNode + "=fake",
			"--node-lease-duration-seconds=40",
			"--cidr=10.244.0.0/16",
			"--server-address=",
		}
	}
	return nil
}

// KwokNode is the annotation of the nodes that kwok plays.
const KwokNode = "kwok.x-k8s.io/node"

func etcdArguments() []string {
	return []string{
		"--name=refit",
		"--data-dir=etcd",
		"--listen-client-urls=unix://" + etcdSocket,
		"--advertise-client-urls=unix://" + etcdSocket,
		"--listen-peer-urls=unix://" + peerSocket,
		"--initial-advertise-peer-urls=unix://" + peerSocket,
		"--initial-cluster=refit=unix://" + peerSocket,
		"--log-level=warn",
	}
}

func (c Config) apiServerArguments(ports Ports) []string {
	args := []string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1",
		// Nothing asks for the endpoints of the service "kubernetes", and a
		// loopback address is not allowed among them.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		fmt.Sprintf("--secure-port=%d", ports.APIServer),
		"--tls-cert-file=" + c.path("pki", serving+".crt"),
		"--tls-private-key-file=" + c.path("pki", serving+".key"),
		"--client-ca-file=" + c.path("pki", authority+".crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.path("pki", "service-account.key"),
		"--service-account-signing-key-file=" + c.path("pki", "service-account.key"),
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		// Without it, open watches hold the end of an API server for a minute,
		// and an upgrade's outage is that long.
		"--shutdown-send-retry-after=true",
		"--profiling=false",
	}
	if c.AuditLog {
		args = append(args, "--audit-policy-file="+c.path("audit.yaml"),
			"--audit-log-path="+AuditLog(c.Dir), "--audit-log-maxsize=100", "--audit-log-maxbackup=2")
	}
	return args
}

func (c Config) controllerManagerArguments(ports Ports) []string {
	return append(c.clientArguments(ControllerManager, ports.ControllerManager),
		"--profiling=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.path("pki", "service-account.key"),
		"--root-ca-file="+c.path("pki", authority+".crt"),
		"--cluster-signing-cert-file="+c.path("pki", authority+".crt"),
		"--cluster-signing-key-file="+c.path("pki", authority+".key"),
	)
}

// clientArguments are common to the controller-manager and the scheduler.
func (c Config) clientArguments(part Part, port int) []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig(part),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.path("pki", serving+".crt"),
		"--tls-private-key-file=" + c.path("pki", serving+".key"),
		// There is one of each, and a new one need not wait for the lease of the
		// one before it.
		"--leader-elect=false",
		// The defaults are for clusters that many clients share: with them a
		// hundred pods take nine seconds to run rather than one.
		"--kube-api-qps=300",
		"--kube-api-burst=600",
	}
}
