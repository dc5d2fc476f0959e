package world

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Journey is a cluster, and where it shall go.
type Journey struct {
	Shape  Shape
	Target fleet.Version
	// Hops are the versions to pass through, by minor.
	Hops map[string]fleet.Version
	// AddOns of the release.
	AddOns []fleet.WantedAddOn
}

// Pick chooses a number between low and high; what says what for.
type Pick func(what string, low, high int) int

// Random makes up a journey that can come to its end: a release that is offered
// hop by hop, kubelets within the skew, budgets that leave room to move.
func Random(pick Pick) Journey {
	r := maker{Pick: pick}
	r.from = pick("from minor", 22, 36)
	if pick("modern", 0, 3) > 0 {
		r.from = pick("modern minor", 33, 36)
	}
	r.to = r.from + pick("minors", 0, 4)
	if pick("vendor", 0, 3) == 0 {
		r.suffix = "-gke.900"
	}
	j := Journey{Hops: map[string]fleet.Version{}}
	j.Shape.ControlPlane = r.version(r.from, pick("from patch", 0, 3))
	j.Shape.Offers = r.offers(j.Hops)
	j.Target = r.version(r.to, pick("target patch", 0, 3))
	j.Shape.Offers = append(j.Shape.Offers, j.Target)
	if j.Target.Less(j.Shape.ControlPlane) {
		j.Target = j.Shape.ControlPlane
	}
	if pick("provider has a limit", 0, 3) == 0 {
		j.Shape.MaxNodeSkew = pick("provider's limit", 1, 3)
	}
	j.Shape.Limits = r.limits()
	pools := pick("pools", 1, 4)
	for i := range pools {
		j.Shape.Pools = append(j.Shape.Pools, r.pool(string(rune('a'+i)), 12/pools, j))
	}
	for i := range pick("workloads", 0, 5) {
		j.Shape.Workloads = append(j.Shape.Workloads, r.workload(fmt.Sprintf("app%d", i), j.Shape))
	}
	j.Shape.Workloads = append(j.Shape.Workloads,
		Workload{Name: "proxy", Floor: -1, Owner: fleet.OwnedByNode},
		Workload{Name: "job", Floor: -1, Replicas: pick("ended jobs", 0, 2), Owner: fleet.PodFinished})
	j.Shape.Pace = Pace{
		Operation: pick("operation", 1, 3), Silence: pick("silence", 0, 2),
		Join: pick("join", 1, 3), Ready: pick("ready", 0, 2),
		Start: pick("start", 0, 2), Grace: pick("grace", 1, 3),
	}
	j.Shape.Mute = pick("mute", 0, 1) == 1
	for i := range pick("add-ons", 0, 3) {
		shape, want := r.addOn(fmt.Sprintf("add-on%d", i))
		j.Shape.AddOns, j.AddOns = append(j.Shape.AddOns, shape), append(j.AddOns, want)
	}
	j.Shape.Source = r.source(j.Shape)
	return j
}

type maker struct {
	Pick
	from, to int
	suffix   string
}

func (r maker) version(minor, patch int) fleet.Version {
	return fleet.Version{Major: 1, Minor: minor, Patch: patch, Suffix: r.suffix}
}

// offers has at least one version of each minor that is passed through, and
// names a hop now and then.
func (r maker) offers(hops map[string]fleet.Version) []fleet.Version {
	var offers []fleet.Version
	for minor := r.from; minor <= r.to+1; minor++ {
		patch := r.Pick("lowest offered patch", 0, 2)
		for range r.Pick("offered patches", 1, 3) {
			offers = append(offers, r.version(minor, patch))
			patch += r.Pick("step", 1, 2)
		}
		if v := offers[len(offers)-1]; r.Pick("hop is named", 0, 2) == 0 {
			hops[v.MinorName()] = v
		}
	}
	return offers
}

// limits are absolute, or a percentage that comes to nothing in a small pool.
func (r maker) limits() func(int) (int, int) {
	surge, unavailable := r.Pick("surge", 0, 3), r.Pick("unavailable", 0, 2)
	if r.Pick("percentages", 0, 3) == 0 {
		return func(size int) (int, int) { return size * surge / 10, size * unavailable / 10 }
	}
	if surge == 0 {
		unavailable = max(1, unavailable)
	}
	return func(int) (int, int) { return surge, unavailable }
}

// pool has nodes within the skew of the control plane, mostly of one version.
func (r maker) pool(name string, most int, j Journey) Pool {
	pool := Pool{Name: name}
	behind := r.Pick("minors behind", 0, 3)
	for i := range r.Pick("nodes", 0, most) {
		if r.Pick("mixed", 0, 7) == 0 {
			behind = r.Pick("minors behind", 0, 3)
		}
		version := r.kubelet(behind, j.Shape)
		pool.Nodes = append(pool.Nodes, version)
		if pool.Template.Less(version) {
			pool.Template = version
		}
		if version.Less(j.Target) && r.Pick("cordoned", 0, 19) == 0 {
			pool.Cordoned = append(pool.Cordoned, i)
		}
	}
	if r.Pick("rolled by the provider", 0, 3) == 0 {
		pool.RolledBy = fleet.ByProvider
		if len(pool.Nodes) > 0 { // one that was rolled in part is where it was
			pool.Template = slices.MinFunc(pool.Nodes, fleet.Version.Compare)
		}
	}
	if len(pool.Nodes) == 0 {
		pool.Template = r.kubelet(behind, j.Shape)
	}
	return pool
}

func (r maker) kubelet(behind int, shape Shape) fleet.Version {
	c := Cluster{shape: shape}
	for {
		v := r.version(shape.ControlPlane.Minor-behind, shape.ControlPlane.Patch)
		if behind <= c.allowedSkew(v) {
			return v
		}
		behind--
	}
}

// workload has a budget only where its pods have somewhere to go.
func (r maker) workload(name string, shape Shape) Workload {
	w := Workload{Name: name, Floor: -1, Replicas: r.Pick("replicas", 1, 6), Owner: fleet.OwnedByController}
	if at := r.Pick("bound to pool", 0, len(shape.Pools)); at > 0 {
		w.Pool = shape.Pools[at-1].Name
	}
	if r.Pick("has a budget", 0, 3) > 0 && roomToMove(w, shape) {
		w.Floor = r.Pick("floor", 0, w.Replicas-1)
	}
	return w
}

// addOn is one that the release knows for some minors, and that may be there already.
func (r maker) addOn(name string) (AddOn, fleet.WantedAddOn) {
	want := fleet.WantedAddOn{
		Name: name, Versions: map[string]fleet.ChartVersion{}, Patience: time.Duration(r.Pick("patience", 5, 30)) * Tick,
		When: []fleet.When{fleet.BeforeControlPlane, fleet.BetweenControlPlaneAndNodes, fleet.AfterNodes}[r.Pick("when", 0, 2)],
		Helm: fleet.Helm{Repository: "https://charts.example", Chart: name, Namespace: "kube-system", Release: name, Values: "{}"},
	}
	chart := fleet.Version{Major: 2}
	for minor := r.from; minor <= r.to; minor++ {
		chart.Minor += r.Pick("chart's step", 0, 1)
		if r.Pick("has a version", 0, 3) > 0 {
			want.Versions[r.version(minor, 0).MinorName()] = fleet.ChartVersion{Version: chart, Text: chart.String()[1:]}
		}
	}
	shape := AddOn{Name: name, Values: []string{"{}", `{"replicas":2}`}[r.Pick("values", 0, 1)]}
	if r.Pick("is there", 0, 2) > 0 {
		shape.At = fleet.Version{Major: 2, Minor: r.Pick("chart", 0, chart.Minor)}
	}
	return shape, want
}

// source is one of any form, that says what runs, or what ran before.
func (r maker) source(shape Shape) Source {
	forms := []fleet.Declared{"1.30", "v1.30", "1.30.1", "v1.30.1"}
	says := shape.ControlPlane
	says.Minor -= r.Pick("source is behind", 0, 4) / 4
	return Source{
		Mode: []fleet.SourceMode{"", fleet.Report, fleet.WriteBack, fleet.WriteBack}[r.Pick("source's mode", 0, 3)],
		Says: forms[r.Pick("source's form", 0, 3)].Like(says),
	}
}

// roomToMove tells whether there is always a node for the workload's pods but
// the ones that are being emptied.
func roomToMove(w Workload, shape Shape) bool {
	others := 0
	for _, pool := range shape.Pools {
		if w.Pool != "" && w.Pool != pool.Name {
			continue
		}
		size := len(pool.Nodes) - len(pool.Cordoned)
		surge, unavailable := shape.Limits(len(pool.Nodes))
		if size > 0 && (surge > 0 || size > max(1, unavailable)) {
			return true
		}
		others += min(1, size)
	}
	return others > 1
}
