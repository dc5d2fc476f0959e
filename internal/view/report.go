package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// Report is what people did about fleets, and what Refit did.
type Report struct {
	Fleets []FleetReport `json:"fleets"`
}

// FleetReport is that of one fleet.
type FleetReport struct {
	Name string `json:"name"`
	// Since when it is counted; nil where it is not yet.
	Since     *time.Time       `json:"since,omitempty"`
	Revisions []RevisionReport `json:"revisions"`
	// Uncounted are things that there was no room for: what people did is at least
	// what is told.
	Uncounted int32 `json:"uncounted,omitempty"`
	// Foreign changes of its members, ever.
	Foreign int32 `json:"foreign,omitempty"`
}

// RevisionReport is that of one release as the fleet rolls it.
type RevisionReport struct {
	Revision int64            `json:"revision"`
	Release  string           `json:"release"`
	Began    *time.Time       `json:"began,omitempty"`
	Reached  *time.Time       `json:"reached,omitempty"`
	Took     *metav1.Duration `json:"took,omitempty"`
	Ended    *time.Time       `json:"ended,omitempty"`
	Members  int32            `json:"members"`
	Done     int32            `json:"done"`
	Refit    Work             `json:"refit"`
	Acts     []ActCount       `json:"acts"`
	People   []PersonReport   `json:"people"`
	Foreign  []ForeignChange  `json:"foreign,omitempty"`
}

// Work is what Refit did.
type Work struct {
	Done          int32 `json:"done"`
	Failed        int32 `json:"failed"`
	Aborted       int32 `json:"aborted"`
	Superseded    int32 `json:"superseded"`
	Running       int32 `json:"running"`
	ControlPlanes int32 `json:"controlPlanes"`
	Nodes         int32 `json:"nodes"`
	AddOns        int32 `json:"addOns"`
}

// PersonReport is what one person did; without a name what somebody did whom no
// object names.
type PersonReport struct {
	By string `json:"by,omitempty"`
	// Others marks what more people did than are named.
	Others bool       `json:"others,omitempty"`
	Acts   []ActCount `json:"acts"`
}

// ActCount is how often something was done.
type ActCount struct {
	Act   string `json:"act"`
	Count int32  `json:"count"`
}

// ForeignChange is one of a member's versions that no upgrade of this hub made.
type ForeignChange struct {
	Member string    `json:"member"`
	At     time.Time `json:"at"`
	What   string    `json:"what"`
}

// ReportOf reports on the fleets of a hub, the newest revision first. Named are a
// fleet and a release to report on alone; empty means all.
func ReportOf(hub observe.Hub, fleet, release string) Report {
	report := Report{Fleets: []FleetReport{}}
	for i := range hub.Fleets {
		if f := &hub.Fleets[i]; fleet == "" || f.Name == fleet {
			report.Fleets = append(report.Fleets, fleetReport(hub, f, release))
		}
	}
	slices.SortFunc(report.Fleets, func(a, b FleetReport) int { return strings.Compare(a.Name, b.Name) })
	return report
}

func fleetReport(hub observe.Hub, f *v1.Fleet, release string) FleetReport {
	report := FleetReport{Name: f.Name, Revisions: []RevisionReport{}}
	changes := []ForeignChange{}
	for i := range hub.Members {
		mc := &hub.Members[i]
		if mc.Status.Foreign == nil || !observe.Selects(f, mc) {
			continue
		}
		report.Foreign += mc.Status.Foreign.Count
		for _, change := range mc.Status.Foreign.Last {
			changes = append(changes, ForeignChange{Member: mc.Name, At: change.At.UTC(), What: change.What})
		}
	}
	slices.SortStableFunc(changes, func(a, b ForeignChange) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Member, b.Member)) })
	e := f.Status.Effort
	if e == nil {
		return report
	}
	report.Since, report.Uncounted = utc(&e.Since), e.Uncounted
	for _, r := range slices.Backward(e.Revisions) {
		if release == "" || r.Release == release {
			report.Revisions = append(report.Revisions, revisionReport(hub, f, r, changes))
		}
	}
	return report
}

func revisionReport(hub observe.Hub, f *v1.Fleet, r v1.RevisionEffort, changes []ForeignChange) RevisionReport {
	report := RevisionReport{
		Revision: r.Revision, Release: r.Release, Began: utc(r.Began), Reached: utc(r.Reached), Ended: utc(r.Ended),
		Members: r.Members, Done: r.Done, Refit: workOf(hub, f, r), Acts: []ActCount{}, People: peopleOf(r),
	}
	if r.Ended == nil {
		report.Members, report.Done = f.Status.Members.Total, f.Status.Members.Done
	}
	if r.Began != nil && r.Reached != nil {
		report.Took = &metav1.Duration{Duration: r.Reached.Sub(r.Began.Time)}
	}
	sum := map[v1.Act]int32{}
	for _, person := range report.People {
		for _, act := range person.Acts {
			sum[v1.Act(act.Act)] += act.Count
		}
	}
	report.Acts = actsOf(sum)
	for _, change := range changes {
		if (r.Began == nil || !change.At.Before(r.Began.Time)) && (r.Ended == nil || change.At.Before(r.Ended.Time)) {
			report.Foreign = append(report.Foreign, change)
		}
	}
	return report
}

// workOf is what upgrades did that are kept no more, and those that there are.
func workOf(hub observe.Hub, f *v1.Fleet, r v1.RevisionEffort) Work {
	sum, running := r.Pruned, int32(0)
	counted := observe.Counted(f.Status.Effort)
	for i := range hub.Upgrades {
		up := &hub.Upgrades[i]
		if up.Spec.FleetUID != string(f.UID) || up.Spec.Revision != r.Revision || slices.Contains(counted, observe.Pruned(up)) {
			continue
		}
		sum = observe.AddWork(sum, observe.WorkOf(up))
		if !observe.Ended(up) {
			running++
		}
	}
	return Work{
		Done: sum.Done, Failed: sum.Failed, Aborted: sum.Aborted, Superseded: sum.Superseded, Running: running,
		ControlPlanes: sum.ControlPlanes, Nodes: sum.Nodes, AddOns: sum.AddOns,
	}
}

func peopleOf(r v1.RevisionEffort) []PersonReport {
	people := []PersonReport{}
	for _, person := range r.People {
		people = append(people, PersonReport{By: person.By, Acts: actsOf(person.Acts)})
	}
	if len(r.Others) > 0 {
		people = append(people, PersonReport{Others: true, Acts: actsOf(r.Others)})
	}
	if len(r.Unknown) > 0 {
		people = append(people, PersonReport{Acts: actsOf(r.Unknown)})
	}
	return people
}

func actsOf(counts map[v1.Act]int32) []ActCount {
	acts := []ActCount{}
	for _, act := range slices.Sorted(maps.Keys(counts)) {
		acts = append(acts, ActCount{Act: string(act), Count: counts[act]})
	}
	return acts
}

func utc(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// Text prints it for people.
func (r Report) Text(style Style) string {
	var lines []string
	for _, f := range r.Fleets {
		lines = append(lines, f.lines(style)...)
	}
	if len(r.Fleets) == 0 {
		lines = append(lines, style.wrap("nothing to report: there is no fleet", "")...)
	}
	return strings.Join(lines, "\n") + "\n"
}

func (f FleetReport) lines(style Style) []string {
	head := "fleet " + f.Name
	if f.Since == nil {
		return style.wrap(style.bold(head)+": nothing is counted yet; is refit up running?", "  ")
	}
	lines := style.wrap(style.bold(head)+", counted since "+day(*f.Since), "  ")
	for _, r := range f.Revisions {
		lines = append(lines, r.lines(style)...)
	}
	if len(f.Revisions) == 0 {
		lines = append(lines, style.wrap("  no revision to report on", "  ")...)
	}
	if f.Uncounted > 0 {
		lines = append(lines, style.wrap(fmt.Sprintf("  people did at least that: %d more freezes and approvals are there than there is room to count", f.Uncounted), "  ")...)
	}
	if f.Foreign > 0 {
		lines = append(lines, style.wrap(fmt.Sprintf("  %s by others than this hub, ever, of its members as they are now", plural(f.Foreign, "change")), "  ")...)
	}
	return lines
}

func (r RevisionReport) lines(style Style) []string {
	const hang = "            "
	head := fmt.Sprintf("  revision %d, release %s", r.Revision, r.Release)
	if r.Began != nil {
		head += ", began " + day(*r.Began)
	}
	switch {
	case r.Took != nil:
		head += ", all there after " + r.Took.Round(time.Second).String()
	case r.Ended != nil:
		head += ", ended " + day(*r.Ended) + " before all were there"
	case r.Reached == nil:
		head += ", goes on"
	}
	lines := style.wrap(head, "    ")
	add := func(what, text string) {
		lines = append(lines, style.wrap(fmt.Sprintf("    %-8s%s", what, text), hang)...)
	}
	add("members", fmt.Sprintf("%d of %d done", r.Done, r.Members))
	add("Refit", r.Refit.text())
	add("people", inWords(r.Acts))
	for _, person := range r.People {
		add("", person.name()+": "+inWords(person.Acts))
	}
	for _, change := range r.Foreign {
		add("others", fmt.Sprintf("%s %s: %s", day(change.At), change.Member, change.What))
	}
	return lines
}

func (w Work) text() string {
	var ends []string
	for _, end := range []struct {
		n    int32
		word string
	}{{w.Done, "done"}, {w.Failed, "failed"}, {w.Aborted, "aborted"}, {w.Superseded, "superseded"}, {w.Running, "under way"}} {
		if end.n > 0 {
			ends = append(ends, fmt.Sprintf("%d %s", end.n, end.word))
		}
	}
	text := plural(w.Done+w.Failed+w.Aborted+w.Superseded+w.Running, "upgrade")
	if len(ends) > 0 {
		text += " (" + strings.Join(ends, ", ") + ")"
	}
	return fmt.Sprintf("%s; %s upgraded, %s replaced, %s changed", text,
		plural(w.ControlPlanes, "control plane"), plural(w.Nodes, "node"), plural(w.AddOns, "add-on"))
}

func (p PersonReport) name() string {
	switch {
	case p.Others:
		return "others"
	case p.By == "":
		return "somebody"
	}
	return p.By
}

// inWords are acts in a sentence.
func inWords(acts []ActCount) string {
	var words []string
	for _, act := range acts {
		words = append(words, fmt.Sprintf("%d %s", act.Count, act.Act))
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

func plural(n int32, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }
