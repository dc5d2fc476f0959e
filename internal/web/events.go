package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// heartbeat is how often a stream says that it is there, so that both ends learn
// of the other's death; less than the patience of a write.
const heartbeat = 5 * time.Second

// A stream is one page that is open in a browser.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    string // the id of what the browser has
	trouble bool   // it was told that the hub does not answer
}

// events sends a page's content whenever it has changed.
func (d *Dashboard) events(draw drawing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left, ok := d.feed.join()
		if !ok {
			w.Header().Set("Retry-After", "10")
			refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open, which is as many as are kept up to date. Close some.", maxWatchers))
			return
		}
		defer left()
		w.Header().Set("Content-Type", "text/event-stream")
		s := stream{w: w, control: http.NewResponseController(w), last: r.Header.Get("Last-Event-ID")}
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		seen := d.feed.now() // from before we joined: the page has as much
		alive := s.write(": hello\n\n")
		for alive {
			select {
			case <-r.Context().Done():
				return
			case <-beat.C:
				alive = s.write(": here\n\n")
			case <-seen.next:
				seen = d.feed.now()
				alive = s.tell(d.content(draw, r, seen))
			}
		}
	})
}

// tell sends content, where the browser has another.
func (s *stream) tell(html []byte, err error) bool {
	if err != nil {
		s.trouble = true
		return s.write(event("trouble", "", []byte(err.Error())))
	}
	hash := sha256.Sum256(html)
	id := hex.EncodeToString(hash[:8])
	if id == s.last && !s.trouble {
		return true
	}
	s.last, s.trouble = id, false
	return s.write(event("content", id, html))
}

// event is one as the wire has it, where a line break of whatever kind ends a line
// of data.
func event(name, id string, data []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&out, "id: %s\n", id)
	}
	for line := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r"), nil), []byte("\n")) {
		fmt.Fprintf(&out, "data: %s\n", line)
	}
	return out.String() + "\n"
}

// write sends at once, or tells that nobody is there any more.
func (s *stream) write(text string) bool {
	if err := s.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.control.Flush() == nil
}
