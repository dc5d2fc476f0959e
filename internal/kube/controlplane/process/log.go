package process

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// BoundLog moves what a log holds to NAME.1 once it has grown beyond the limit.
// The process keeps writing to the same file, which it opened for appending, so
// the file is emptied rather than renamed; a line written in between is lost.
func BoundLog(path string, limit int64) error {
	info, err := os.Stat(path)
	if os.IsNotExist(err) || (err == nil && info.Size() <= limit) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bound the log: %w", err)
	}
	from, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bound the log: %w", err)
	}
	defer from.Close()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("bound the log: %w", err)
	}
	defer to.Close()
	// The newest part of it: the file may have grown far beyond the limit while
	// nobody watched.
	if _, err := io.Copy(to, io.NewSectionReader(from, max(0, info.Size()-limit), limit)); err != nil {
		return fmt.Errorf("bound the log %s: %w", path, err)
	}
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("bound the log: %w", err)
	}
	return nil
}

// tailBytes is more than the last lines of any part have.
const tailBytes = 16 << 10

// Tail is the last lines of a log.
func Tail(path string, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-tailBytes), tailBytes))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
