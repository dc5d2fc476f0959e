// Package record keeps small JSON files that survive a crash at any moment: a
// reader sees the old record or the new one, never half of one, and a record
// that was saved before an act is there after it, even if the power fails.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Save writes a record: to a file beside it, flushed, renamed over it, and the
// rename flushed as well.
func Save(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return SaveText(path, append(text, '\n'))
}

// SaveText is Save of a text, for files that are not JSON.
func SaveText(path string, text []byte) error {
	if err := replace(path, text); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

func replace(path string, text []byte) (err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return flush(folder)
}

func flush(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Load reads a record. One that was never saved leaves the value as it is.
func Load(path string, value any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", path, err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}
