package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/world"
	"refit.dev/refit/internal/provider/fake"
)

// Story is a fleet, what happens to it, and what came of it. It is written as a
// txtar archive: what it is about, then
//
//	-- world.yaml --   clusters, and what kind of cloud they are in
//	-- NAME.yaml --    objects of the hub, for "apply NAME.yaml"
//	-- script --       commands, a line each; see commands
//	-- timeline --     what happened
//	-- end --          how everything stands in the end
type Story struct {
	archive *txtar.Archive
	kinds   kinds
	world   worldFile
}

// worldFile is the world of a story before it begins.
type worldFile struct {
	Cloud struct {
		NoTokens   bool   `json:"noTokens"`
		PicksPatch bool   `json:"picksPatch"`
		Lag        string `json:"lag"`
	} `json:"cloud"`
	Offers   []string      `json:"offers"`
	Clusters []clusterFile `json:"clusters"`
}

type clusterFile struct {
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Pools       map[string]int `json:"pools"`
	Pods        int            `json:"pods"`
	Floor       int            `json:"floor"`
	Surge       *int           `json:"surge"`
	Unavailable int            `json:"unavailable"`
	AddOns      []addOnFile    `json:"addOns"`
}

type addOnFile struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Sick is a version that never becomes healthy.
	Sick string `json:"sick"`
}

// patience is how long a story waits for what it says will be.
const patience = 48 * time.Hour

// ReadStory reads a story.
func ReadStory(text []byte) (*Story, error) {
	s := &Story{archive: txtar.Parse(text)}
	if err := yaml.UnmarshalStrict(s.file("world.yaml"), &s.world); err != nil {
		return nil, fmt.Errorf("world.yaml: %w", err)
	}
	var err error
	s.kinds, err = readKinds()
	return s, err
}

func (s *Story) file(name string) []byte {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// Timeline and End are what the story says came of it.
func (s *Story) Timeline() string { return string(s.file("timeline")) }

// End is how everything stands in the end, as the story says.
func (s *Story) End() string { return string(s.file("end")) }

// With is the story's text with what came of it.
func (s *Story) With(timeline, end string) []byte {
	archive := &txtar.Archive{Comment: s.archive.Comment}
	for _, f := range s.archive.Files {
		if f.Name != "timeline" && f.Name != "end" {
			archive.Files = append(archive.Files, f)
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: "timeline", Data: []byte(timeline)}, txtar.File{Name: "end", Data: []byte(end)})
	return txtar.Format(archive)
}

// telling is a story being told.
type telling struct {
	*Story

	world *World
	hub   *Hub
	// heard is how much of the timeline was waited for.
	heard int
	// marked is what a cache that is behind shows.
	marked picture
}

// Tell lets a story happen, in the order that a seed draws: see New.
func (s *Story) Tell(ctx context.Context, seed uint64) (*World, error) {
	mode := fake.Mode{NoTokens: s.world.Cloud.NoTokens, PicksPatch: s.world.Cloud.PicksPatch}
	if lag := s.world.Cloud.Lag; lag != "" {
		var err error
		if mode.Lag, err = time.ParseDuration(lag); err != nil {
			return nil, fmt.Errorf("world.yaml: lag: %w", err)
		}
	}
	t := &telling{Story: s, world: New(seed, mode)}
	for _, c := range s.world.Clusters {
		if err := t.cluster(c); err != nil {
			return nil, fmt.Errorf("world.yaml: cluster %s: %w", c.Name, err)
		}
	}
	if err := t.on("main"); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(s.file("script"))) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := t.do(ctx, line); err != nil {
			return t.world, fmt.Errorf("%s: %w; so far:\n%s", line, err, strings.Join(t.world.Timeline(), "\n"))
		}
	}
	return t.world, nil
}

func (t *telling) cluster(c clusterFile) error {
	var err error
	shape := fake.Shape{Pods: c.Pods, Floor: c.Floor}
	if shape.Version, err = parse(c.Version); err != nil {
		return err
	}
	for _, offer := range t.Story.world.Offers {
		v, err := parse(offer)
		if err != nil {
			return err
		}
		shape.Offers = append(shape.Offers, v)
	}
	for _, name := range sorted(c.Pools) {
		shape.Pools = append(shape.Pools, fake.PoolShape{Name: name, Size: c.Pools[name]})
	}
	surge := 1
	if c.Surge != nil {
		surge = *c.Surge
	}
	t.world.AddCluster(c.Name, shape, surge, c.Unavailable)
	return t.addOns(c)
}

func (t *telling) addOns(c clusterFile) (err error) {
	for _, a := range c.AddOns {
		shape := world.AddOn{Name: a.Name, Values: "{}"}
		if shape.At, err = parse(a.Version); err != nil {
			return err
		}
		if shape.Sick, err = parse(a.Sick); err != nil {
			return err
		}
		t.world.AddAddOn(c.Name, shape)
	}
	return nil
}

func parse(text string) (fleet.Version, error) {
	if v, ok := fleet.ParseVersion(text); ok {
		return v, nil
	}
	return fleet.Version{}, fmt.Errorf("%q is no version", text)
}

func sorted(pools map[string]int) []string {
	var names []string
	for name := range pools {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// command is one line of a script.
type command struct {
	name string
	// words that it wants; the last one is the rest of the line.
	words int
	run   func(t *telling, ctx context.Context, words []string) error
}

// commands are all there are.
func commands() []command {
	return []command{
		// What people do.
		{"apply", 1, (*telling).apply},   // FILE: create or change objects
		{"patch", 3, (*telling).patch},   // KIND NAME MERGE-PATCH
		{"delete", 2, (*telling).remove}, // KIND NAME
		// Time.
		{"wait", 1, (*telling).wait},   // DURATION
		{"until", 1, (*telling).until}, // TEXT of a line of the timeline that is yet to come
		// What happens to Refit.
		{"hub", 1, (*telling).switchHub},     // NAME: go on on another hub, with a Refit of its own
		{"mark", 0, (*telling).mark},         // what is now is what a cache that is behind will show
		{"failover", 1, (*telling).failover}, // DURATION for which the cache of the process that follows shows that
		{"skew", 1, (*telling).skew},         // DURATION that its clock is ahead
		{"says", 2, (*telling).says},         // QUERY ANSWER: what Prometheus answers from now on; nothing, where it is gone
		// What happens to clusters.
		{"befall", 3, (*telling).befall}, // CLUSTER VERB MISHAP: the next such call goes wrong
		{"set", 3, (*telling).set},       // CLUSTER WHAT VALUE: see settings
	}
}

func (t *telling) do(ctx context.Context, line string) error {
	name, rest, _ := strings.Cut(line, " ")
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
	if i < 0 {
		return errors.New("there is no such command")
	}
	c := commands()[i]
	words := strings.SplitN(rest, " ", c.words)
	if rest == "" {
		words = nil
	}
	if len(words) != c.words {
		return fmt.Errorf("%s wants %d words", name, c.words)
	}
	if !slices.Contains([]string{"wait", "until", "hub"}, name) {
		t.world.tell("> %s", line)
	}
	return c.run(t, ctx, words)
}

func (t *telling) apply(ctx context.Context, words []string) error {
	text := t.file(words[0])
	if text == nil {
		return errors.New("there is no such file")
	}
	objects, err := t.kinds.read(text)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := t.hub.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (t *telling) patch(ctx context.Context, words []string) error {
	o, err := named(words[0], words[1])
	if err != nil {
		return err
	}
	return t.hub.Patch(ctx, o, []byte(words[2]))
}

func (t *telling) remove(ctx context.Context, words []string) error {
	o, err := named(words[0], words[1])
	if err != nil {
		return err
	}
	return t.hub.Client.Delete(ctx, o)
}

func (t *telling) wait(ctx context.Context, words []string) error {
	d, err := time.ParseDuration(words[0])
	if err != nil {
		return err
	}
	t.world.Run(ctx, d)
	t.heard = len(t.world.timeline)
	return nil
}

// until waits for a line that the timeline does not have yet, and goes on right
// after it.
func (t *telling) until(ctx context.Context, words []string) error {
	came := t.world.Until(ctx, patience, func() bool {
		for ; t.heard < len(t.world.timeline); t.heard++ {
			if line := t.world.timeline[t.heard]; strings.Contains(line, words[0]) {
				t.heard++
				return true
			}
		}
		return false
	})
	if !came {
		return fmt.Errorf("that never came within %s", patience)
	}
	return nil
}

func (t *telling) switchHub(_ context.Context, words []string) error { return t.on(words[0]) }

// on goes on on a hub, which is made where there is none of the name.
func (t *telling) on(name string) error {
	for _, h := range t.world.hubs {
		if h.name == name {
			t.hub = h
			return nil
		}
	}
	var err error
	t.hub, err = t.world.AddHub(name)
	return err
}

func (t *telling) mark(context.Context, []string) error {
	t.marked = t.hub.picture()
	return nil
}

// failover lets the process die. Its successor's cache is behind: it is that of an
// API server which has not heard of everything yet.
func (t *telling) failover(_ context.Context, words []string) error {
	d, err := time.ParseDuration(words[0])
	if err != nil {
		return err
	}
	t.hub.show(t.marked, d)
	t.hub.Start()
	return nil
}

func (t *telling) skew(_ context.Context, words []string) (err error) {
	t.world.Skew, err = time.ParseDuration(words[0])
	return err
}

func (t *telling) says(_ context.Context, words []string) error {
	return t.world.says(words[0], words[1])
}

func (t *telling) befall(_ context.Context, words []string) error {
	c := t.world.Cluster(words[0])
	if c == nil {
		return errors.New("there is no such cluster")
	}
	c.Inject(fake.Fault{Verb: fake.Verb(words[1]), Mishap: fake.Mishap(words[2])})
	return nil
}

// settings are what can be changed of a cluster, past all rules.
func settings() map[string]func(s *fake.State, value string) error {
	return map[string]func(s *fake.State, value string) error{
		"silent":  func(s *fake.State, value string) (err error) { s.Silent, err = strconv.ParseBool(value); return err },
		"down":    func(s *fake.State, value string) (err error) { s.Down, err = strconv.ParseBool(value); return err },
		"uid":     func(s *fake.State, value string) error { s.UID = value; return nil },
		"floor":   func(s *fake.State, value string) (err error) { s.Floor, err = strconv.Atoi(value); return err },
		"version": func(s *fake.State, value string) (err error) { s.Version, err = parse(value); return err },
		"nodes": func(s *fake.State, value string) error { // of all machines
			v, err := parse(value)
			for i := range s.Machines {
				s.Machines[i].Version = v
			}
			return err
		},
		"sick": func(s *fake.State, value string) error { // the first machine
			sick, err := strconv.ParseBool(value)
			s.Machines[0].Sick = sick
			return err
		},
		"offers": func(s *fake.State, value string) error {
			s.Offers = nil
			for text := range strings.SplitSeq(value, " ") {
				v, err := parse(text)
				if err != nil {
					return err
				}
				s.Offers = append(s.Offers, v)
			}
			return nil
		},
	}
}

func (t *telling) set(_ context.Context, words []string) (err error) {
	c := t.world.Cluster(words[0])
	change, ok := settings()[words[1]]
	if c == nil || !ok {
		return fmt.Errorf("there is no such cluster, or nothing called %q to set", words[1])
	}
	c.Change(func(s *fake.State) { err = change(s, words[2]) })
	return err
}
