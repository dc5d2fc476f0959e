package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// What lies in a data directory. The uid is a file of its own so that a backup can leave it out: who restores the rest
// elsewhere gets another hub with the same objects.
const (
	lockFile       = "lock"
	versionFile    = "version"
	uidFile        = "uid"
	portFile       = "port"
	kubeconfigFile = "kubeconfig"
	encryptionFile = "encryption.yaml"
	pkiDir         = "pki"
	etcdDir        = "etcd"
	runDir         = "run"
	logFile        = "logs/hub.log"
	membersDir     = "local" // not the hub's
)

// dataSchema is the layout of a data directory. A Refit that changes it so that older ones would do damage raises it.
const dataSchema = 1

// elsewhere ends the errors whose way out is another directory.
const elsewhere = "or name another directory with --data-dir"

// A dataDir is the directory that a hub lives in, held by this process alone.
type dataDir struct {
	root string
	lock *os.File
}

// writtenBy is the content of the version file.
type writtenBy struct {
	Schema    int    `json:"schema"`
	WrittenBy string `json:"writtenBy"`
}

// openDataDir makes sure that a hub can live in root, and takes it. Everything that can be found out without writing
// is found out before, so that the data of a newer Refit, or of another user, stays as it was.
func openDataDir(root, version string, m *machine) (dataDir, error) {
	d, err := take(root, m, checkOwner, checkVersion, checkWritable, checkPrivate, checkSpace)
	if err != nil {
		return dataDir{}, err
	}
	if err := d.prepare(version); err != nil {
		return dataDir{}, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// Hold takes a data directory for this process without starting a hub in it, until what it returns is closed.
func Hold(root string) (io.Closer, error) {
	d, err := take(root, thisMachine(), checkOwner, checkVersion, checkWritable, checkPrivate)
	return d.lock, err
}

// take makes the directory where there is none, and locks it if all checks say yes.
func take(root string, m *machine, checks ...func(string, *machine) error) (dataDir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return dataDir{}, fmt.Errorf("find data directory %q: %w", root, err)
	}
	if err := makeDataDir(root); err != nil {
		return dataDir{}, err
	}
	for _, check := range checks {
		if err := check(root, m); err != nil {
			return dataDir{}, err
		}
	}
	lock, err := takeLock(root)
	return dataDir{root: root, lock: lock}, err
}

// Files are the names of all that Refit has in a data directory.
func Files() []string {
	return []string{
		lockFile, versionFile, uidFile, portFile, kubeconfigFile, encryptionFile,
		pkiDir, etcdDir, runDir, filepath.Dir(logFile), membersDir,
	}
}

// prepare makes the directory what this Refit expects it to be.
func (d dataDir) prepare(version string) error {
	if err := os.Chmod(d.root, privateDir); err != nil {
		return fmt.Errorf("make data directory private: %w", err)
	}
	for _, name := range []string{pkiDir, etcdDir, filepath.Dir(logFile)} {
		if err := os.MkdirAll(d.path(name), privateDir); err != nil {
			return fmt.Errorf("fill data directory: %w", err)
		}
	}
	data, err := json.Marshal(writtenBy{Schema: dataSchema, WrittenBy: version})
	if err != nil {
		return err
	}
	return writeFile(d.path(versionFile), append(data, '\n'))
}

func (d dataDir) path(name string) string { return filepath.Join(d.root, name) }

func (d dataDir) release(context.Context) error { return d.lock.Close() }

// hubUID reads the hub's identity, or makes it at the first start.
func (d dataDir) hubUID() (string, error) {
	data, err := readOrCreate(d.path(uidFile), func() ([]byte, error) {
		return []byte(uuid.NewUUID() + "\n"), nil
	})
	if err != nil {
		return "", fmt.Errorf("learn the hub's UID: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

func makeDataDir(root string) error {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(root, privateDir)
	case err == nil && !info.IsDir():
		return fmt.Errorf("data directory %q is a file: name a directory with --data-dir", root)
	}
	if cause, ok := errors.AsType[*fs.PathError](err); ok { // it names the directory, as we do
		err = cause.Err
	}
	if err != nil {
		return fmt.Errorf("make data directory %q: %w: make its parent a directory that you may write to, %s", root, err, elsewhere)
	}
	return nil
}
