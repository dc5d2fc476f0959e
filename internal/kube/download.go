package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Sources are the servers that artefacts are downloaded from. From an empty
// one nothing is.
type Sources struct {
	Kubernetes string // BASE/v1.36.3/bin/linux/amd64/kubectl, and kubectl.sha256
	Etcd       string // BASE/v3.7.0/etcd-v3.7.0-linux-amd64.tar.gz, and SHA256SUMS
	Kwok       string // BASE/v0.8.0/kwok-linux-amd64, and kwok-linux-amd64.sha256
}

// OfficialSources are the release servers of the three projects. That of kwok
// is missing: it has no checksums, and what cannot be verified is not run.
func OfficialSources() Sources {
	return Sources{
		Kubernetes: "https://dl.k8s.io/release",
		Etcd:       "https://github.com/etcd-io/etcd/releases/download",
	}
}

// MirrorSources is one server that keeps all three: Kubernetes as
// https://dl.k8s.io/release does, the others below /etcd and /kwok.
func MirrorSources(base string) (Sources, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return Sources{}, fmt.Errorf("base URL %q: write it like https://mirror.example/release", base)
	}
	base = strings.TrimSuffix(base, "/")
	return Sources{Kubernetes: base, Etcd: base + "/etcd", Kwok: base + "/kwok"}, nil
}

// A parcel is a file to download.
type parcel struct {
	url      string
	checksum string // where its checksum is published
	name     string // what to call it; of an archive, what to take from it
	archive  bool
}

func (s Sources) parcels(a Artefact) []parcel {
	var parcels []parcel
	switch {
	case a.Name == Kubernetes && s.Kubernetes != "":
		for _, command := range a.product().commands {
			file := fmt.Sprintf("%s/%s/bin/%s/%s/%s", s.Kubernetes, a.Version, runtime.GOOS, runtime.GOARCH, command)
			parcels = append(parcels, parcel{url: file, checksum: file + ".sha256", name: command})
		}
	case a.Name == Etcd && s.Etcd != "":
		base := s.Etcd + "/" + a.Version
		file := fmt.Sprintf("%s/etcd-%s-%s.tar.gz", base, a.Version, platform())
		parcels = append(parcels, parcel{url: file, checksum: base + "/SHA256SUMS", name: "etcd", archive: true})
	case a.Name == Kwok && s.Kwok != "":
		file := fmt.Sprintf("%s/%s/kwok-%s", s.Kwok, a.Version, platform())
		parcels = append(parcels, parcel{url: file, checksum: file + ".sha256", name: "kwok"})
	}
	return parcels
}

var errNoSource = errors.New("no server publishes it with a checksum")

// download fills the workshop, or says why it could not.
func (s *Store) download(ctx context.Context, a Artefact, shop *workshop, job *job) error {
	parcels := s.Sources.parcels(a)
	if len(parcels) == 0 {
		return errNoSource
	}
	for _, p := range parcels {
		target := filepath.Join(shop.into, p.name)
		if p.archive {
			target = filepath.Join(shop.scratch, filepath.Base(p.url))
		}
		if err := s.fetch.verified(ctx, p, target, job); err != nil {
			return err
		}
		if p.archive {
			if err := takeFrom(target, p.name, shop.into); err != nil {
				return err
			}
			continue
		}
		if err := os.Chmod(target, 0o700); err != nil { //nolint:gosec // a program is executable
			return fmt.Errorf("make %s executable: %w", p.name, err)
		}
	}
	return nil
}
