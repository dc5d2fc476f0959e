package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A data directory may have a comma in its path. kwok takes --config for a list,
// and ends at once where one of it does not exist.
func TestFolderWithAComma(t *testing.T) {
	config := testConfig(t)
	config.Dir = filepath.Join(config.Dir, "a, b")
	if err := config.prepare(config.Ports, time.Now()); err != nil {
		t.Fatal(err)
	}
	command := config.command(Kwok, kwokV, "", config.Ports)
	for _, arg := range command.Args {
		files, found := strings.CutPrefix(arg, "--config=")
		if !found {
			continue
		}
		for file := range strings.SplitSeq(files, ",") {
			if !filepath.IsAbs(file) {
				file = filepath.Join(command.Dir, file)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("kwok is started with %s: %v", arg, err)
			}
		}
		return
	}
	t.Errorf("kwok is started with %v, want its stages", command.Args)
}
