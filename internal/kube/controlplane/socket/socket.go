// Package socket listens on and dials unix sockets in folders of any depth.
//
// The kernel takes at most 108 bytes for a socket's path, which a data
// directory below a home folder easily passes. So the folder is opened, and the
// socket is named through the open folder.
package socket

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Listen makes the socket, in place of one that a dead listener left.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("listen: %w", err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer folder.Close()
	listener, err := net.Listen("unix", shorten(folder, path))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// The short name ends with the open folder; Remove the file by its path.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	return listener, nil
}

// Dial connects to the socket.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return (&net.Dialer{}).DialContext(ctx, "unix", shorten(folder, path))
}

func shorten(folder *os.File, path string) string {
	return filepath.Join(throughOpen(folder), filepath.Base(path))
}
