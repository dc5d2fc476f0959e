// Package local is the provider of real clusters on this machine: real control
// planes (package controlplane) whose nodes are played by kwok.
//
// Each member has a folder below the data directory, and a small process of its
// own, the supervisor, that holds the folder's lock. The supervisor is to its
// member what a cloud is to a cluster: it keeps the control plane running and
// upgrades it, and it has machines, for each of which there is a Node object.
// Refit talks to it over a unix socket in the folder, as it talks to a cloud
// over HTTPS, and may end and start again at any time.
//
// What a person does with members (create, list, stop, delete) is in Members;
// what the Upgrades loop does is in Provider, which implements the port.
package local
