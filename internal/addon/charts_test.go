package addon_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/repo/v1"

	"refit.dev/refit/internal/addon"
)

// repository is a folder of charts, served as people serve them.
type repository struct {
	*httptest.Server

	folder string
	asked  atomic.Int32
}

// newRepository serves versions of a chart named dns, each of one ConfigMap.
func newRepository(t *testing.T, versions ...string) *repository {
	t.Helper()
	r := &repository{folder: t.TempDir()}
	for _, version := range versions {
		chart := &v2.Chart{
			Metadata:  &v2.Metadata{APIVersion: v2.APIVersionV2, Name: "dns", Version: version},
			Templates: []*common.File{{Name: "templates/config.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dns}\ndata: {replicas: \"{{ .Values.replicas }}\"}\n")}},
		}
		if _, err := chartutil.Save(chart, r.folder); err != nil {
			t.Fatal(err)
		}
	}
	index, err := repo.IndexDirectory(r.folder, "")
	if err == nil {
		err = index.WriteFile(filepath.Join(r.folder, "index.yaml"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(r.folder))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.asked.Add(1)
		files.ServeHTTP(w, request)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *repository) chart(version string) addon.Chart {
	return addon.Chart{Repository: r.URL, Name: "dns", Version: version}
}

// TestFetch gets a chart once, by the version that its index has, with or without the v.
func TestFetch(t *testing.T) {
	r := newRepository(t, "1.11.0", "v1.12.0")
	var charts addon.Charts
	for _, version := range []string{"1.11.0", "1.12.0"} {
		for range 2 {
			chart, err := charts.Fetch(t.Context(), r.chart(version))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(chart.Metadata.Version, "v"); got != version {
				t.Errorf("got %s, want %s", got, version)
			}
		}
	}
	if got := r.asked.Load(); got != 4 {
		t.Errorf("%d requests, want an index and an archive for each of two versions", got)
	}
}

// TestFetchRefuses says what is wrong, and of which chart.
func TestFetchRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *repository)
		chart  string
		want   string
	}{
		{"no such version", func(*testing.T, *repository) {}, "1.13.0", "the index has no version 1.13.0 of chart dns; it has 1 others"},
		{"no index", func(t *testing.T, r *repository) { remove(t, r, "index.yaml") }, "1.12.0", "404 Not Found"},
		{"no archive", func(t *testing.T, r *repository) { remove(t, r, "dns-1.12.0.tgz") }, "1.12.0", "404 Not Found"},
		{"another archive", func(t *testing.T, r *repository) { write(t, r, "dns-1.12.0.tgz", "else") }, "1.12.0", "the index promises sha256:"},
		{"no index, but a page", func(t *testing.T, r *repository) { write(t, r, "index.yaml", "<html>") }, "1.12.0", "chart dns 1.12.0 of http://127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepository(t, "1.12.0")
			test.change(t, r)
			var charts addon.Charts
			_, err := charts.Fetch(t.Context(), r.chart(test.chart))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "chart dns "+test.chart) {
				t.Errorf("got %v, want %q of the chart", err, test.want)
			}
		})
	}
}

func remove(t *testing.T, r *repository, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(r.folder, name)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, r *repository, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
