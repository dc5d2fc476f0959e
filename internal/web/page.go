package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"time"

	"refit.dev/refit/internal/view"
)

//go:embed assets
var files embed.FS

// A screen is what one page shows; one of its parts is set.
type screen struct {
	Title string
	Now   time.Time
	// Fleets is the page of all of them.
	Fleets *fleetsScreen
	// Cluster is the page of one member.
	Cluster *clusterScreen
	// Missing is the member that somebody asked for and that is not there.
	Missing string
	// Trouble is why nothing can be shown.
	Trouble string
}

// A fleetsScreen is all fleets, and why nothing of the hub acts.
type fleetsScreen struct {
	view.Status

	Held view.Reason
}

// A clusterScreen is one member, and what is between it and its release.
type clusterScreen struct {
	view.Why

	Passes []pass
	Asked  []view.Condition
}

// A pass is the steps of one hop.
type pass struct {
	Name  string
	Steps []view.Condition
}

// A drawing makes a screen of a picture.
type drawing func(picture view.Picture, r *http.Request) screen

func (d *Dashboard) fleets(picture view.Picture, _ *http.Request) screen {
	status := picture.Status()
	title := "Fleets"
	if len(status.Fleets) == 1 {
		title = status.Fleets[0].Brief()
	}
	return screen{Title: title, Fleets: &fleetsScreen{Status: status, Held: picture.Held()}}
}

func (d *Dashboard) cluster(picture view.Picture, r *http.Request) screen {
	name := r.PathValue("name")
	why, found := picture.Why(name)
	if !found {
		return screen{Title: "No such cluster", Missing: name}
	}
	cluster := &clusterScreen{Why: why}
	for _, c := range why.Conditions {
		group, last := c.Group(), len(cluster.Passes)-1
		switch {
		case c.Hop == "" && !c.IsStep():
			cluster.Asked = append(cluster.Asked, c)
		case last < 0 || cluster.Passes[last].Name != group:
			cluster.Passes = append(cluster.Passes, pass{Name: group, Steps: []view.Condition{c}})
		default:
			cluster.Passes[last].Steps = append(cluster.Passes[last].Steps, c)
		}
	}
	return screen{Title: fmt.Sprintf("%s %s %s", why.Member.State.Mark(), name, why.Member.State), Cluster: cluster}
}

// page serves a page with its frame.
func (d *Dashboard) page(draw drawing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		picture, err := d.feed.see(r.Context())
		var shown screen
		if err != nil {
			status, shown = http.StatusServiceUnavailable, screen{Title: "The hub does not answer", Trouble: err.Error()}
		} else if shown = draw(picture, r); shown.Missing != "" {
			status = http.StatusNotFound
		}
		html, err := d.render("page", shown)
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(html)
	})
}

// content is what the frame of a page holds at a sight.
func (d *Dashboard) content(draw drawing, r *http.Request, seen *sight) ([]byte, error) {
	if seen.err != nil {
		return nil, seen.err
	}
	return d.render("main", draw(seen.picture, r))
}

// render escapes whatever is not of the template: names and reasons are other
// people's words.
func (d *Dashboard) render(name string, shown screen) ([]byte, error) {
	shown.Now = d.now()
	pages, err := template.New("").Funcs(words(shown.Now)).ParseFS(files, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, shown); err != nil {
		return nil, fmt.Errorf("draw the page: %w", err)
	}
	return out.Bytes(), nil
}

// words are what templates say things with.
func words(now time.Time) template.FuncMap {
	return template.FuncMap{
		"at":        func(t time.Time) string { return view.Style{Now: now}.When(t) },
		"iso":       func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"known":     func(t time.Time) bool { return !t.IsZero() },
		"bars":      bars,
		"dense":     func(w view.Wave) bool { return len(w.Members) > roomy },
		"condition": func(w view.Why, c view.Condition) met { return met{Condition: c, Standing: w.Standing(c)} },
		"took":      func(from, to time.Time) string { return to.Sub(from).Round(time.Second).String() },
	}
}

// met is a condition, and where the member stands at it.
type met struct {
	view.Condition

	Standing view.Standing
}

// roomy is how many members of a wave are shown with what each does; of more, to
// see where they are is more than to read it all.
const roomy = 48

// A bar is one stretch of a fleet's progress, in parts of a thousand.
type bar struct {
	State view.State
	X, W  int
}

// bars are the stretches, which fill the whole.
func bars(counts []view.Count) []bar {
	total := 0
	for _, c := range counts {
		total += c.N
	}
	var all []bar
	so := 0
	for _, c := range counts {
		x := so * 1000 / total
		so += c.N
		all = append(all, bar{State: c.State, X: x, W: so*1000/total - x})
	}
	return all
}

// asset serves a file that pages refer to.
func asset(w http.ResponseWriter, r *http.Request) {
	kinds := map[string]string{".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	name := r.PathValue("name")
	kind := kinds[path.Ext(name)]
	text, err := files.ReadFile(path.Join("assets", name))
	if err != nil || kind == "" {
		refuse(w, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	_, _ = w.Write(text) //nolint:gosec // a file of ours, that is linked in
}
