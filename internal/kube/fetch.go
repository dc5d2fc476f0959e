package kube

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

// A fetcher downloads files from servers that may be slow, silent or wrong.
type fetcher struct {
	answer time.Duration // until the server answers, or redirects
	stall  time.Duration // between two pieces of a file

	transport http.RoundTripper // nil: the usual one
}

// Three seconds are enough for a server that is there, and little beside the
// minutes a build takes where there is none. A transfer may be slow, though.
func newFetcher() fetcher { return fetcher{answer: 3 * time.Second, stall: 20 * time.Second} }

// maxFile is far above the largest binary, some 100 MB.
const maxFile = 1 << 30

// A checksumError is a file that is not what its publisher says.
type checksumError struct{ url, want, got string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("%s has the checksum %s, but %s is published: the file was thrown away", e.url, short(e.got), short(e.want))
}

func short(sum string) string { return sum[:12] + "…" }

// verified downloads a parcel into a file, which it removes again unless its
// checksum is right.
func (f fetcher) verified(ctx context.Context, p parcel, file string, job *job) error {
	var sums bytes.Buffer
	if err := f.get(ctx, p.checksum, &sums, func(int64, int64) {}); err != nil {
		return err
	}
	want, err := findChecksum(sums.String(), path.Base(p.url))
	if err != nil {
		return fmt.Errorf("%s: %w", p.checksum, err)
	}
	got, err := f.file(ctx, p, file, job)
	if err == nil && got != want {
		err = &checksumError{url: p.url, want: want, got: got}
	}
	if err != nil {
		_ = os.Remove(file) // and the workshop is cleared at the end
	}
	return err
}

// file downloads and returns the checksum of what came.
func (f fetcher) file(ctx context.Context, p parcel, file string, job *job) (sum string, err error) {
	out, err := os.Create(file)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", p.url, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	hash := sha256.New()
	err = f.get(ctx, p.url, io.MultiWriter(out, hash), func(done, total int64) {
		job.report(fmt.Sprintf("downloading %s, %s", path.Base(p.url), partOf(done, total)))
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

func partOf(done, total int64) string {
	if total <= 0 {
		return bytesText(uint64(done))
	}
	return bytesText(uint64(done)) + " of " + bytesText(uint64(total))
}

// findChecksum reads "SUM", or lines of "SUM  NAME".
func findChecksum(text, file string) (string, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || len(fields) > 2 {
			continue
		}
		if len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) != file {
			continue
		}
		if sum, err := hex.DecodeString(fields[0]); err == nil && len(sum) == sha256.Size {
			return strings.ToLower(fields[0]), nil
		}
	}
	return "", fmt.Errorf("has no SHA-256 checksum of %s", file)
}

// get copies what a server sends. One timer watches over it: it is set anew
// by every sign of life.
func (f fetcher) get(ctx context.Context, from string, to io.Writer, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.answer, func() { cancel(fmt.Errorf("no answer within %s", f.answer)) })
	defer silence.Stop()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	response, err := f.client(func() { silence.Reset(f.answer) }).Do(request)
	if err != nil {
		return explain(ctx, from, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: the server says %s", from, response.Status)
	}
	silence.Stop()
	stalled := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("nothing came for %s", f.stall)) })
	defer stalled.Stop()
	done, err := io.Copy(to, &watched{
		from: io.LimitReader(response.Body, maxFile+1),
		read: func(done int64) {
			stalled.Reset(f.stall)
			progress(done, response.ContentLength)
		},
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w (after %s)", explain(ctx, from, err), partOf(done, response.ContentLength))
	case done > maxFile:
		return fmt.Errorf("%s: larger than %s", from, bytesText(maxFile))
	}
	return nil
}

// client follows redirects, but not from https to http: the checksum is only
// as good as the way it came.
func (f fetcher) client(alive func()) *http.Client {
	return &http.Client{
		Transport: f.transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("too many redirects")
			}
			if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
				return fmt.Errorf("redirected to %s, which is not https", next.URL)
			}
			alive()
			return nil
		},
	}
}

// explain puts the timer's words in the place of "context canceled".
func explain(ctx context.Context, from string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", from, cause)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // it names the URL too
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: the connection ended early: %w", from, err)
	}
	return fmt.Errorf("%s: %w", from, err)
}

// A watched reader tells how far it is.
type watched struct {
	from io.Reader
	read func(done int64)
	done int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	w.done += int64(n)
	if n > 0 {
		w.read(w.done)
	}
	return n, err
}
