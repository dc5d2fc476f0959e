package contract

import "refit.dev/refit/internal/provider"

// meeting are the promises about what is under way already.
func meeting() []testCase {
	return []testCase{
		{name: "somebody else's operation that goes there is adopted", run: adopts},
		{name: "somebody else's operation is foreign", run: foreign},
		{name: "one that goes elsewhere is waited for", run: waitsForForeign},
		{name: "a change of ours is waited for as well", run: waitsForOwn, lacking: func(l Lacks) string { return l.Choice }},
	}
}

// begun waits until somebody else's operation shows.
func (w *trial) begun() provider.Operation {
	w.Helper()
	w.Foreign(w.ref, w.Versions.Elsewhere)
	seen := w.until("the operation of somebody else", func(o provider.Observation) bool { return len(operations(o, controlPlane())) == 1 })
	op := operations(seen, controlPlane())[0]
	if op.Phase != provider.Running {
		w.Fatalf("operation = %+v, want that it takes longer", op)
	}
	return op
}

// busy waits until something else shows that somebody else has begun.
func (w *trial) busy() provider.Operation {
	w.Helper()
	if w.Busy == nil {
		return w.begun()
	}
	w.Busy(w.ref)
	seen := w.until("the operation of somebody else", func(o provider.Observation) bool { return len(operations(o, controlPlane())) == 1 })
	return operations(seen, controlPlane())[0]
}

func adopts(w *trial) {
	theirs := w.begun()
	op := w.ensure(w.control(w.Versions.Old, w.Versions.Elsewhere, "ours"))
	if op.ID != theirs.ID || op.Phase != provider.Running {
		w.Errorf("operation = %+v, want theirs: %+v", op, theirs)
	}
	if all := operations(w.observe(), controlPlane()); len(all) != 1 {
		w.Errorf("operations = %+v, want theirs alone", all)
	}
}

func foreign(w *trial) {
	if op := w.begun(); !op.Foreign || op.Token != "" {
		w.Errorf("operation = %+v, want a foreign one without a token", op)
	}
}

func waitsForForeign(w *trial) {
	theirs := w.busy()
	w.refused(w.control(w.Versions.Old, w.Versions.Next, "ours"), provider.Wait, provider.CodeInProgress)
	if all := operations(w.observe(), controlPlane()); len(all) != 1 || all[0].ID != theirs.ID {
		w.Errorf("operations = %+v, want theirs alone: %+v", all, theirs)
	}
}

func waitsForOwn(w *trial) {
	first, second := w.Versions.Elsewhere, w.Versions.Next
	if w.at(first, w.Versions.Old) { // who picks the patch is there already
		first, second = second, first
	}
	ours := w.ensure(w.control(w.Versions.Old, first, "first"))
	fault := w.refused(w.control(w.Versions.Old, second, "second"), provider.Wait, provider.CodeInProgress)
	if fault.After <= 0 {
		w.Errorf("fault = %+v, want when to look again", fault)
	}
	w.until("the first operation alone", func(o provider.Observation) bool {
		all := operations(o, controlPlane())
		return len(all) == 1 && all[0].ID == ours.ID
	})
}
