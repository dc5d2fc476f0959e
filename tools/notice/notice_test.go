package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	isc = `Copyright (c) 2026 Ada

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is
hereby granted, provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE
INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE,
DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`
	wtfpl = `DO WHAT THE FUCK YOU WANT TO PUBLIC LICENSE
TERMS AND CONDITIONS FOR COPYING, DISTRIBUTION AND MODIFICATION
0. You just DO WHAT THE FUCK YOU WANT TO.
`
)

func TestCollect(t *testing.T) {
	apache, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		files map[string]string
		want  []string // path and licences of what was found
		err   string
	}{
		"a licence above the package": {
			files: map[string]string{"LICENSE": string(apache), "pkg/a.go": "package a"},
			want:  []string{"LICENSE Apache-2.0"},
		},
		"forked code under other terms, and a notice": {
			files: map[string]string{"LICENSE.txt": string(apache), "NOTICE": "By Ada.", "pkg/COPYING": isc, "pkg/license.go": "package a"},
			want:  []string{"LICENSE.txt Apache-2.0", "NOTICE ", "pkg/COPYING ISC"},
		},
		"two licences in one file": {
			files: map[string]string{"LICENSE": isc + string(apache), "pkg/a.go": "package a"},
			want:  []string{"LICENSE Apache-2.0+ISC"},
		},
		"documentation under other terms": {
			files: map[string]string{"LICENSE": isc, "LICENSE.docs": wtfpl, "pkg/a.go": "package a"},
			want:  []string{"LICENSE ISC"},
		},
		"none": {
			files: map[string]string{"README": isc, "NOTICE": "By Ada.", "pkg/a.go": "package a"},
			err:   "example.com/m v1.0.0: no licence for",
		},
		"unknown": {
			files: map[string]string{"LICENSE": "Ask Ada.", "pkg/a.go": "package a"},
			err:   "example.com/m v1.0.0: LICENSE: only 0 % of it is a licence that is known",
		},
		"known with a condition added": {
			files: map[string]string{"LICENSE": isc + strings.Repeat("Not on Sundays, unless Ada says so. ", 20), "pkg/a.go": "package a"},
			err:   "% of it is a licence that is known",
		},
		"not accepted": {
			files: map[string]string{"LICENSE": string(apache), "pkg/LICENSE": wtfpl},
			err:   "pkg/LICENSE: licence WTFPL is not accepted",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range tt.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			papers, err := collect(map[pkg]bool{{"example.com/m", "v1.0.0", filepath.Join(root, "pkg"), root}: true})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range papers {
				got = append(got, p.path+" "+strings.Join(p.licences, "+"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("papers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRender(t *testing.T) {
	got, found := strings.CutPrefix(render([]paper{
		{module: "example.com/a", version: "v1.0.0", path: "LICENSE", licences: []string{"Apache-2.0"}, text: "long"},
		{module: "example.com/a", version: "v1.0.0", path: "NOTICE", text: "By Ada.\n"},
		{module: "example.com/b", version: "v2.0.0", path: "LICENSE", licences: []string{"MIT"}, text: "As is.\r\n"},
		{module: "example.com/c", version: "v3.0.0", path: "x/LICENSE", licences: []string{"MIT"}, text: "As is.\n"},
	}), heading)
	want := `Apache-2.0
  example.com/a v1.0.0

MIT
  example.com/b v2.0.0
  example.com/c v3.0.0

================================================================================
example.com/a v1.0.0: NOTICE

By Ada.

================================================================================
example.com/b v2.0.0: LICENSE
example.com/c v3.0.0: x/LICENSE

As is.
`
	if diff := cmp.Diff(want, got); !found || diff != "" {
		t.Errorf("notice (-want +got):\n%s", diff)
	}
}
