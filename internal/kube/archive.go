package kube

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxEntries is far above the largest archive, the official server one with some 40.
const maxEntries = 10_000

// walkArchive visits what a tar file holds, compressed with gzip or not. An
// archive that names a file outside itself is refused as a whole: whoever made
// it did not mean well.
func walkArchive(file string, visit func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	content, err := decompressed(f)
	if err != nil {
		return err
	}
	archive := tar.NewReader(content)
	for range maxEntries {
		header, err := archive.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, content) // to the checksum of gzip, which comes last
			return explainArchive(err)
		}
		if err != nil {
			return explainArchive(err)
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("it names %q, which is outside of it: refused", header.Name)
		}
		if err := visit(header, archive); err != nil {
			return explainArchive(err)
		}
	}
	return fmt.Errorf("it has more than %d entries: refused", maxEntries)
}

// decompressed goes by the first bytes; names lie.
func decompressed(f io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(f, 1<<20)
	start, err := buffered.Peek(6)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, explainArchive(err)
		}
		return unzipped, nil
	case bytes.HasPrefix(start, []byte("\x28\xb5\x2f\xfd")), bytes.HasPrefix(start, []byte("\xfd7zXZ")), bytes.HasPrefix(start, []byte("BZh")):
		return nil, errors.New("it is compressed with something else than gzip: decompress it first")
	}
	return buffered, nil
}

func explainArchive(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends early: copy it again, it is not whole (%w)", err)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("it is no tar file (%w)", err)
	case errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("it is damaged: copy it again (%w)", err)
	}
	return err
}

// takeFrom unpacks one command of an archive.
func takeFrom(file, command, into string) error {
	found := false
	err := walkArchive(file, func(header *tar.Header, content io.Reader) error {
		if found || header.Typeflag != tar.TypeReg || path.Base(header.Name) != command {
			return nil
		}
		found = true
		return writeProgram(filepath.Join(into, command), content)
	})
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
	}
	if !found {
		return fmt.Errorf("unpack %s: it has no %s", filepath.Base(file), command)
	}
	return nil
}

func writeProgram(file string, content io.Reader) (err error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // a program is executable
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("it has %s twice in one folder", filepath.Base(file))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	written, err := io.Copy(out, io.LimitReader(content, maxFile+1))
	if err == nil && written > maxFile {
		return fmt.Errorf("%s in it is larger than %s", filepath.Base(file), bytesText(maxFile))
	}
	return err
}

// unpackCommands puts the commands of every folder of an archive into a folder
// of its own below into, and leaves out everything else. It returns those
// folders by the names they have in the archive.
func unpackCommands(file, into string) (map[string]string, error) {
	folders := map[string]string{}
	wanted := wantedNames()
	err := walkArchive(file, func(header *tar.Header, content io.Reader) error {
		name := path.Base(header.Name)
		if !wanted[name] || header.Typeflag == tar.TypeDir {
			return nil
		}
		from := path.Dir(path.Clean(header.Name))
		dir, ok := folders[from]
		if !ok {
			dir = filepath.Join(into, fmt.Sprint(len(folders)))
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			folders[from] = dir
		}
		return unpackCommand(header, content, filepath.Join(dir, name))
	})
	return folders, err
}

func unpackCommand(header *tar.Header, content io.Reader, target string) error {
	switch {
	case header.Typeflag == tar.TypeReg:
		return writeProgram(target, content)
	case header.Typeflag == tar.TypeSymlink && header.Linkname == multicallName:
		return os.Symlink(multicallName, target)
	case header.Typeflag == tar.TypeSymlink || header.Typeflag == tar.TypeLink:
		return fmt.Errorf("%s in it is a link to %q: pack the file itself", header.Name, header.Linkname)
	}
	return fmt.Errorf("%s in it is no file", header.Name)
}

// wantedNames are all the commands, and the binary that built ones link to.
func wantedNames() map[string]bool {
	wanted := map[string]bool{multicallName: true}
	for _, p := range products() {
		for _, command := range p.commands {
			wanted[command] = true
		}
	}
	return wanted
}

// writeArchive packs folders of the store, each as one folder.
func writeArchive(out io.Writer, entries []Entry) error {
	zipped, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		if err := packEntry(archive, e); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

func packEntry(archive *tar.Writer, e Entry) error {
	files, err := os.ReadDir(e.Dir)
	if err != nil {
		return err
	}
	folder := strings.Join([]string{"refit", e.Name, e.Version, e.Platform}, "/")
	for _, f := range files {
		if f.Name() == manifestFile {
			continue // whoever imports it judges for himself
		}
		if err := packFile(archive, folder, filepath.Join(e.Dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

func packFile(archive *tar.Writer, folder, file string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: folder + "/" + info.Name(), Mode: 0o755, Size: info.Size(), ModTime: info.ModTime()}
	if info.Mode().Type() == fs.ModeSymlink {
		header.Typeflag, header.Size = tar.TypeSymlink, 0
		if header.Linkname, err = os.Readlink(file); err != nil {
			return err
		}
		return archive.WriteHeader(header)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}
