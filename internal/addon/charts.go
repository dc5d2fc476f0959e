package addon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/registry"
	"helm.sh/helm/v4/pkg/repo/v1"
)

const (
	// fetchTimeout bounds one fetch from a repository.
	fetchTimeout = time.Minute
	// maxFetched is far more than any index or chart is long: the largest public
	// index has some 20 MiB.
	maxFetched = 64 << 20
	// keptCharts is how many charts are kept: those of a fleet's release, and of the
	// one before.
	keptCharts = 32
)

// Chart is what a release is made of.
type Chart struct {
	// Repository is the address of an index (http, https), or the folder of a
	// registry (oci).
	Repository, Name, Version string
}

// String names it as people do.
func (c Chart) String() string { return c.Name + " " + c.Version + " of " + c.Repository }

// errTooLarge tells that an answer has no end that anybody would wait for.
var errTooLarge = errors.New("larger than a chart may be")

// Charts fetches charts, and keeps those that it has: a version is never published
// twice.
type Charts struct {
	mu   sync.Mutex
	kept map[Chart]*v2.Chart
	// order is in which they came, oldest first.
	order []Chart
}

// Fetch gets a chart.
func (c *Charts) Fetch(ctx context.Context, want Chart) (*v2.Chart, error) {
	c.mu.Lock()
	defer c.mu.Unlock() // whoever wants the same one waits for it
	if chart, ok := c.kept[want]; ok {
		return chart, nil
	}
	data, err := fetch(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("fetch chart %s: %w", want, err)
	}
	chart, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", want, err)
	}
	if c.kept == nil {
		c.kept = map[Chart]*v2.Chart{}
	}
	c.kept[want], c.order = chart, append(c.order, want)
	if len(c.order) > keptCharts {
		delete(c.kept, c.order[0])
		c.order = c.order[1:]
	}
	return chart, nil
}

func fetch(ctx context.Context, want Chart) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	if registry.IsOCI(want.Repository) {
		return pull(want)
	}
	address, err := repo.ResolveReferenceURL(want.Repository, "index.yaml")
	if err != nil {
		return nil, err
	}
	index, err := get(ctx, address)
	if err != nil {
		return nil, err
	}
	entry, err := find(index, want)
	if err != nil {
		return nil, err
	}
	if address, err = repo.ResolveReferenceURL(want.Repository, entry.URLs[0]); err != nil {
		return nil, err
	}
	data, err := get(ctx, address)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if got, promised := hex.EncodeToString(sum[:]), strings.TrimPrefix(entry.Digest, "sha256:"); promised != "" && got != promised {
		return nil, fmt.Errorf("%s has digest sha256:%s; the index promises sha256:%s", address, got, promised)
	}
	return data, nil
}

// find looks a version up in an index. The library reads one from a file only.
func find(index []byte, want Chart) (*repo.ChartVersion, error) {
	folder, err := os.MkdirTemp("", "refit-index-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is temporary
	file := filepath.Join(folder, "index.yaml")
	if err := os.WriteFile(file, index, 0o600); err != nil {
		return nil, err
	}
	read, err := repo.LoadIndexFile(file)
	if err != nil {
		return nil, err
	}
	for _, entry := range read.Entries[want.Name] {
		if strings.TrimPrefix(entry.Version, "v") == strings.TrimPrefix(want.Version, "v") && len(entry.URLs) > 0 {
			return entry, nil
		}
	}
	return nil, fmt.Errorf("the index has no version %s of chart %s; it has %d others", want.Version, want.Name, len(read.Entries[want.Name]))
}

func get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", address, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxFetched+1))
	if err == nil && len(data) > maxFetched {
		err = fmt.Errorf("GET %s: it is %w", address, errTooLarge)
	}
	return data, err
}

// pull gets a chart from a registry, with nobody's credentials.
func pull(want Chart) ([]byte, error) {
	client, err := registry.NewClient(registry.ClientOptWriter(io.Discard), registry.ClientOptCredentialsFile(os.DevNull))
	if err != nil {
		return nil, err
	}
	reference := strings.TrimPrefix(want.Repository, registry.OCIScheme+"://") + "/" + want.Name + ":" + strings.ReplaceAll(want.Version, "+", "_")
	pulled, err := client.Pull(reference)
	if err != nil {
		return nil, err
	}
	return pulled.Chart.Data, nil
}
