package socket

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel's limit of 108 bytes is no limit of ours.
func TestDeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "supervisor.sock")
	for range 2 { // the second time in place of a socket that nobody listens on any more
		listener, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, _ = io.WriteString(conn, "hello")
				conn.Close()
			}
		}()
		conn, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(conn); string(text) != "hello" || err != nil {
			t.Errorf("read %q, %v", text, err)
		}
		conn.Close()
		listener.Close()
		if _, err := Dial(t.Context(), path); err == nil {
			t.Error("a socket that nobody listens on answers")
		}
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "supervisor.sock")
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Listen = %v, want an error that names the path", err)
	}
	if _, err := Dial(t.Context(), path); err == nil {
		t.Error("Dial succeeded")
	}
}
