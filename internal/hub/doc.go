// Package hub is the embedded hub: a Kubernetes API server inside this process, over an embedded etcd. What comes out
// of it is a rest.Config. Nothing that uses a hub can tell whether it is this one or a management cluster.
//
// The API server is the real one, in the form that Kubernetes calls the generic control plane: namespaces, secrets,
// config maps, events, leases, service accounts, RBAC, admission policies and webhooks, custom resources; no pods,
// nodes or services. Three of the controllers that a Kubernetes control plane runs beside its API server run here too,
// for without them the API would not keep its word; see controllers.
//
//	         kubectl, people          Refit's loops
//	               │ kubeconfig            │ Hub.Config
//	               ▼                       ▼
//	    127.0.0.1:PORT, TLS, client certificates, RBAC
//	┌──────────────────────────────────────────────────┐
//	│ aggregator ─▶ built-in kinds ─▶ custom resources │◀── namespaces, garbage, roles
//	└──────────────────────────────────────────────────┘
//	               │ unix socket in a directory of mode 0700
//	               ▼
//	             etcd ─▶ DataDir/etcd, secrets encrypted
//
// A hub is one data directory and one process. The directory is locked while the hub runs, everything in it is for its
// owner alone, and it remembers which Refit wrote it, the hub's UID, its port and its certificate authority, so that a
// restart is the same hub. Copied without the file uid, it is another hub with the same objects.
//
// Start takes the parts up one by one and Stop takes them down in the opposite order: controllers, API server, etcd. A
// part that fails, such as etcd on a full disk, ends the hub and not the process; Done and Stop tell of it.
package hub
