package contract

import (
	"cmp"
	"slices"
	"strings"

	"refit.dev/refit/internal/provider"
)

// changing are the promises about a change of a control plane.
func changing() []testCase {
	return []testCase{
		{name: "Ensure starts an operation", run: starts},
		{name: "an operation runs, then succeeds, at its version", run: succeeds},
		{name: "the version changes when the operation ends", run: versionChangesLast, lacking: func(l Lacks) string { return l.OneVersion }},
		{name: "an operation bears its token", run: bearsToken, lacking: func(l Lacks) string { return cmp.Or(l.Tokens, l.Told) }},
		{name: "Ensure twice is one operation", run: twice},
		{name: "Ensure after a lost reply finds the operation", run: lostReply},
		{name: "Ensure of what is done begins nothing", run: doneAlready},
		{name: "Ensure from what no longer holds is Stop", run: noLongerHolds},
		{name: "a minor is never skipped", still: true, run: func(w *trial) {
			w.refused(w.control(w.Versions.Old, w.Versions.Skipping, "t"), provider.Stop, provider.CodeInvalid)
		}},
		{name: "a control plane never goes back", still: true, run: func(w *trial) {
			w.refused(w.control(w.Versions.Old, w.Versions.Back, "t"), provider.Stop, provider.CodeInvalid)
		}},
		{name: "a token has at most 64 characters", run: longTokens},
		{name: "a late call of an old token begins nothing", run: lateCall},
	}
}

func starts(w *trial) {
	op := w.ensure(w.control(w.Versions.Old, w.Versions.Next, "t"))
	if op.Phase != provider.Running || op.ID == "" || op.Part != controlPlane() || !w.at(op.To.Version, w.Versions.Next) || op.Started.IsZero() {
		w.Errorf("operation = %+v, want one that runs to %s", op, w.Versions.Next)
	}
	w.until("the operation", func(o provider.Observation) bool {
		all := operations(o, controlPlane())
		return len(all) == 1 && all[0].ID == op.ID && all[0].To == op.To && all[0].Started.Equal(op.Started)
	})
}

func succeeds(w *trial) {
	w.ensure(w.control(w.Versions.Old, w.Versions.Next, "t"))
	var phases []provider.Phase
	note := func(o provider.Observation) bool {
		for _, op := range operations(o, controlPlane()) {
			phases = append(phases, op.Phase)
		}
		return slices.Contains(phases, provider.Succeeded) || slices.Contains(phases, provider.Failed)
	}
	w.until("the end of the operation", note)
	for range 5 {
		w.Pass()
		note(w.observe())
	}
	phases = slices.Compact(append([]provider.Phase{provider.Running}, phases...)) // which may be over at the first look
	if !slices.Equal(phases, []provider.Phase{provider.Running, provider.Succeeded}) {
		w.Errorf("the operation was seen %v, want that it ran and then had succeeded", phases)
	}
	w.until("the control plane at its version", func(o provider.Observation) bool {
		return o.ControlPlane.Ready && o.ControlPlane.Oldest == o.ControlPlane.Newest && w.at(o.ControlPlane.Oldest, w.Versions.Next)
	})
}

func versionChangesLast(w *trial) {
	w.ensure(w.control(w.Versions.Old, w.Versions.Next, "t"))
	w.until("the version with the end of the operation", func(o provider.Observation) bool {
		all := operations(o, controlPlane())
		running := len(all) == 0 || all[0].Phase == provider.Running // none: the call does not show yet
		if moved := !w.at(o.ControlPlane.Newest, w.Versions.Old); moved == running {
			w.Errorf("control plane at %s while the operations are %+v", o.ControlPlane.Newest, all)
		}
		return !running
	})
}

func bearsToken(w *trial) {
	op := w.ensure(w.control(w.Versions.Old, w.Versions.Next, "mine"))
	seen := w.until("the operation", func(o provider.Observation) bool { return len(operations(o, controlPlane())) == 1 })
	for _, op := range append(operations(seen, controlPlane()), op, w.ended()) {
		if op.Token != "mine" || op.Foreign {
			w.Errorf("operation = %+v, want the token mine, not foreign", op)
		}
	}
}

func twice(w *trial) {
	change := w.control(w.Versions.Old, w.Versions.Next, "t")
	first := w.ensure(change)
	if again := w.ensure(change); again.ID != first.ID {
		w.Errorf("operations %+v, then %+v; want one", first, again)
	}
	w.ended()
	w.one()
}

// one checks that the control plane had no more than one operation: nothing is
// under way, and what ended last went to the next version.
func (w *trial) one() {
	w.Helper()
	w.until("the control plane at its version", func(o provider.Observation) bool {
		return w.at(o.ControlPlane.Oldest, w.Versions.Next)
	})
	for range 5 {
		w.Pass()
	}
	all := operations(w.observe(), controlPlane())
	if len(all) != 1 || all[0].Phase != provider.Succeeded || !w.at(all[0].To.Version, w.Versions.Next) {
		w.Errorf("operations = %+v, want one, to %s", all, w.Versions.Next)
	}
}

func lostReply(w *trial) {
	change := w.control(w.Versions.Old, w.Versions.Next, "t")
	w.lost(Upgrade, func() error {
		_, err := w.Provider.Ensure(w.Context(), w.ref, change)
		return err
	})
	found := w.ensure(change)
	w.until("the operation that was found", func(o provider.Observation) bool {
		all := operations(o, controlPlane())
		return len(all) == 1 && all[0].ID == found.ID
	})
	w.ended()
	w.one()
}

// lost makes a call whose reply nobody gets.
func (w *trial) lost(call Call, do func() error) {
	w.Helper()
	if w.Lose != nil {
		w.Lose(w.ref, call)
	}
	err := do()
	if w.Lose != nil {
		w.fault(err, provider.Retry, provider.CodeUnreachable)
	} else if err != nil {
		w.Fatal(err)
	}
}

func doneAlready(w *trial) {
	w.upgrade()
	for _, token := range []string{"first", "another"} {
		op := w.ensure(w.control(w.Versions.Old, w.Versions.Next, token))
		if op.Phase != provider.Succeeded || !w.at(op.To.Version, w.Versions.Next) {
			w.Errorf("operation = %+v, want that it is done", op)
		}
	}
	w.one()
}

func noLongerHolds(w *trial) {
	w.upgrade()
	w.refused(w.control(w.Versions.Back, w.Versions.Old, "late"), provider.Stop, provider.CodeChanged)
	w.one()
}

func longTokens(w *trial) {
	before := w.observe()
	long := strings.Repeat("x", 65)
	w.refused(w.control(w.Versions.Old, w.Versions.Next, long), provider.Stop, provider.CodeInvalid)
	w.refused(w.template(w.Versions.Old, w.Versions.Old, long), provider.Stop, provider.CodeInvalid)
	if !w.rolls() {
		err := w.nodes().AddNode(w.Context(), w.ref, provider.NodeAddition{Pool: "a", Token: long})
		w.fault(err, provider.Stop, provider.CodeInvalid)
	}
	if after := w.observe(); len(after.Operations) != 0 || len(w.pool(after, "a").Instances) != len(w.pool(before, "a").Instances) {
		w.Errorf("after calls with too long tokens: %+v", after)
	}
	if op := w.ensure(w.control(w.Versions.Old, w.Versions.Next, long[:64])); op.Phase != provider.Running {
		w.Errorf("with a token of 64 characters: operation = %+v, want that it runs", op)
	}
}

// lateCall: a leader that was frozen calls again when another has done its work.
func lateCall(w *trial) {
	w.upgrade()
	change := w.template(w.Versions.Old, w.Versions.Next, "pool")
	w.ensure(change)
	w.until("the template", func(o provider.Observation) bool {
		return w.at(w.pool(o, "a").Template.Version, w.Versions.Next) && len(operations(o, controlPlane())) == 1
	})
	before := w.observe()
	w.ensure(w.control(w.Versions.Old, w.Versions.Next, "first"))
	w.ensure(change)
	for range 5 {
		w.Pass()
	}
	ids := func(o provider.Observation) []string {
		var ids []string
		for _, op := range o.Operations {
			ids = append(ids, op.ID)
		}
		slices.Sort(ids)
		return ids
	}
	if after := w.observe(); !slices.Equal(ids(before), ids(after)) {
		w.Errorf("operations were %v, and are %v after late calls", ids(before), ids(after))
	}
}
