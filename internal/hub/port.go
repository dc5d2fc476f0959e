package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A port that is picked is kept for years, so it comes from where no system takes the ports of outgoing connections
// (32768 and up on Linux, 49152 and up elsewhere) and few programs have one of their own.
const (
	firstPort = 20000
	lastPort  = 29999
)

// A port is what the hub listens on.
type port struct {
	net.Listener
	served bool // then the API server closes it, and takes it amiss if somebody else does
}

func (p *port) stop(context.Context) error {
	if p.served {
		return nil
	}
	return p.Close()
}

// listen opens the hub's port: the one asked for, else the one it had before, else a free one. The next start finds it
// in the data directory, so that kubeconfigs stay valid.
func listen(dir dataDir, address string, number int) (*port, error) {
	if number == 0 {
		before, err := readPort(dir)
		if err != nil {
			return nil, err
		}
		number = before
	}
	listener, err := listenOn(address, number)
	if err != nil {
		return nil, err
	}
	number = listener.Addr().(*net.TCPAddr).Port
	if err := writeFile(dir.path(portFile), []byte(strconv.Itoa(number)+"\n")); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &port{Listener: listener}, nil
}

func listenOn(address string, port int) (net.Listener, error) {
	if port == 0 {
		return listenAnywhere(address)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("port %d of %s is in use by %s: stop that one, or choose another port with --port", port, address, portHolder(port))
	}
	if err != nil {
		return nil, fmt.Errorf("listen on port %d of %s: %w: choose another with --port", port, address, err)
	}
	return listener, nil
}

func listenAnywhere(address string) (net.Listener, error) {
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // free is all it needs to be
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("find a free port of %s between %d and %d: %w: choose one with --port", address, firstPort, lastPort, err)
}

func readPort(dir dataDir) (int, error) {
	data, err := os.ReadFile(dir.path(portFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var port uint64
	if err == nil {
		port, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16)
	}
	if err != nil {
		return 0, fmt.Errorf("read the hub's port from %s: %w: choose one with --port", dir.path(portFile), err)
	}
	return int(port), nil
}

// portHolder names the process that listens on a port, as far as this system and this user can tell.
func portHolder(port int) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listeningSockets(table, port) {
			if pid := socketOwner(inode); pid != "" {
				return "process " + pid
			}
		}
	}
	return "another process"
}

// listeningSockets finds the sockets of a port in a table whose lines read "sl local_address rem_address st … inode …",
// addresses as HEXIP:HEXPORT, and state 0A for listening.
func listeningSockets(table string, port int) []string {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	var inodes []string
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == "0A" {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

func socketOwner(inode string) string {
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && target == "socket:["+inode+"]" {
			return strings.Split(descriptor, "/")[2]
		}
	}
	return ""
}
