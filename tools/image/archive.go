package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// A file is one of an archive: its name there, what is in it, and who may do what with it.
type file struct {
	name string
	path string // where it is read; empty where data is all
	data []byte
	mode int64
}

// writeTar writes files in their order, and the folders that they are in before them. All that differs between
// machines is left out: owners, and times but the one that is given.
func writeTar(name string, files []file, at time.Time) (err error) {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	archive := tar.NewWriter(out)
	made := map[string]bool{".": true}
	for _, f := range files {
		if err := errors.Join(makeFolders(archive, path.Dir(f.name), made, at), add(archive, f, at)); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return archive.Close()
}

func makeFolders(archive *tar.Writer, folder string, made map[string]bool, at time.Time) error {
	if made[folder] {
		return nil
	}
	made[folder] = true
	if err := makeFolders(archive, path.Dir(folder), made, at); err != nil {
		return err
	}
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: at, Format: tar.FormatUSTAR})
}

func add(archive *tar.Writer, f file, at time.Time) error {
	var in io.Reader = bytes.NewReader(f.data)
	size := int64(len(f.data))
	if f.path != "" {
		opened, err := os.Open(f.path)
		if err != nil {
			return err
		}
		defer opened.Close()
		info, err := opened.Stat()
		if err != nil {
			return err
		}
		in, size = opened, info.Size()
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: size, Mode: f.mode, ModTime: at, Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, in)
	return err
}

// writeFolder writes all files of a folder, sorted by their names.
func writeFolder(name, folder string, at time.Time) error {
	var files []file
	err := filepath.WalkDir(folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, at)
		files = append(files, file{name: filepath.ToSlash(inside), path: at, mode: 0o644})
		return err
	})
	if err != nil {
		return err
	}
	return writeTar(name, files, at)
}
