package main

import (
	"archive/tar"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// pack packs the sample for a processor, and is the archive.
func pack(t *testing.T, out, processor string) string {
	t.Helper()
	r, err := parse([]string{
		"-C", "../release/testdata/sample", "-out", out, "-version", "v1.2.3-rc.1+abc", "-revision", "5eed", "-time", "1700000000",
		"-ldflags", "-s -w -X main.version=v1.2.3-rc.1+abc", "-processors", processor, "./cmd/sample",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(out, "sample-v1.2.3-rc.1+abc-linux-"+processor+".oci.tar")
}

// read unpacks an archive, and reads the one image in it by its own index.
func read(t *testing.T, archive string) (v1.Descriptor, v1.Image) {
	t.Helper()
	folder := t.TempDir()
	if text, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%v, %v: want one image", manifest, err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil { // every digest and size is what the manifest promises
		t.Error(err)
	}
	return manifest.Manifests[0], image
}

// unpack writes the one layer to a folder, and lists what is in it.
func unpack(t *testing.T, image v1.Image) (folder, list string) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v: want one", len(layers), err)
	}
	in, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	folder = t.TempDir()
	var lines strings.Builder
	for archive := tar.NewReader(in); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return folder, lines.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%c %o %d:%d %d %s\n", header.Typeflag, header.Mode, header.Uid, header.Gid, header.ModTime.Unix(), header.Name)
		path := filepath.Join(folder, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, 0o700)
		} else if text, readErr := io.ReadAll(archive); readErr != nil {
			err = readErr
		} else {
			err = os.WriteFile(path, text, os.FileMode(header.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The archive is read back: who runs what, and that nothing else is in it.
func TestImage(t *testing.T) {
	descriptor, image := read(t, pack(t, t.TempDir(), runtime.GOARCH))
	if got := descriptor.Annotations["org.opencontainers.image.ref.name"]; got != "v1.2.3-rc.1_abc" {
		t.Errorf("its tag is %q", got)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title": "sample", "org.opencontainers.image.version": "v1.2.3-rc.1+abc",
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.revision": "5eed",
		"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
		"org.opencontainers.image.description": "Keeps fleets of Kubernetes clusters at the release you declare",
	}
	want := v1.Config{Entrypoint: []string{"/sample"}, User: "65532:65532", WorkingDir: "/", Env: []string{"HOME=/tmp"}, Labels: labels}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("how it is run (-want +got):\n%s", diff)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH {
		t.Errorf("it is for %s/%s", config.OS, config.Architecture)
	}
	folder, list := unpack(t, image)
	const files = `0 644 0:0 1700000000 LICENSE
0 644 0:0 1700000000 NOTICE
5 755 0:0 1700000000 etc/
5 755 0:0 1700000000 etc/ssl/
5 755 0:0 1700000000 etc/ssl/certs/
0 644 0:0 1700000000 etc/ssl/certs/ca-certificates.crt
0 755 0:0 1700000000 sample
`
	if diff := cmp.Diff(files, list); diff != "" {
		t.Errorf("what is in it (-want +got):\n%s", diff)
	}
	if got, err := exec.CommandContext(t.Context(), filepath.Join(folder, "sample")).Output(); string(got) != "sample v1.2.3-rc.1+abc\n" {
		t.Errorf("the binary says %q, %v", got, err)
	}
	static(t, filepath.Join(folder, "sample"))
	trusted(t, filepath.Join(folder, certificates))
}

// static: nothing is loaded at run time, as there is nothing to load.
func static(t *testing.T, binary string) {
	t.Helper()
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it loads %v, %v", libraries, err)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("it wants a loader")
		}
	}
}

// trusted: the authorities can be read, and among them are those that a provider's API is signed by.
func trusted(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names[certificate.Subject.CommonName] = true
	}
	for _, name := range []string{"Amazon Root CA 1", "ISRG Root X1"} {
		if !names[name] {
			t.Errorf("%s is not trusted; %d are", name, len(names))
		}
	}
	if len(names) < 100 {
		t.Errorf("%d authorities are trusted, want at least 100", len(names))
	}
}

// The same bytes, and so the same digest, whoever packs it when; for each processor its own.
func TestImageIsReproducible(t *testing.T) {
	digests := map[v1.Hash]bool{}
	for _, processor := range []string{"amd64", "arm64"} {
		one, two := pack(t, t.TempDir(), processor), pack(t, t.TempDir(), processor)
		first, err := os.ReadFile(one)
		if err != nil {
			t.Fatal(err)
		}
		second, err := os.ReadFile(two)
		if err != nil {
			t.Fatal(err)
		}
		if string(first) != string(second) {
			t.Errorf("%s: it differs the second time", processor)
		}
		descriptor, _ := read(t, one)
		if got := descriptor.Platform.String(); got != "linux/"+processor {
			t.Errorf("it is for %s", got)
		}
		digests[descriptor.Digest] = true
	}
	if len(digests) != 2 {
		t.Errorf("two processors have %d digests", len(digests))
	}
}

// What cannot be packed is refused, and leaves no archive, whole or half; what was there stays.
func TestRefusals(t *testing.T) {
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "checksums.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-version", "1.2.3", "./cmd/sample"}, `-version "1.2.3": is no version; name one as v1.2.3`},
		{[]string{"-version", "v1"}, "name the one package of the command, for example ./cmd/refit"},
		{[]string{"-version", "v1", "-C", "../release/testdata/sample", "-processors", "abacus", "./cmd/sample"}, "linux/abacus: build: exit status"},
		{[]string{"-version", "v1", "-C", "../release/testdata/sample", "./cmd/none"}, "build: exit status"},
	} {
		r, err := parse(append([]string{"-out", out}, test.args...), io.Discard)
		if err == nil {
			err = r.run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v\ngot  %v\nwant %s", test.args, err, test.want)
		}
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 1 || entries[0].Name() != "checksums.txt" {
		t.Errorf("%v, %v: want what was there, and nothing else", entries, err)
	}
}
