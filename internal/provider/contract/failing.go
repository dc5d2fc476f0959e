package contract

import (
	"cmp"
	"slices"

	"refit.dev/refit/internal/provider"
)

// failing are the promises about what goes wrong.
func failing() []testCase {
	return []testCase{
		{name: "a failed operation says why, and the old version serves", run: fails, lacking: failure},
		{name: "a new token after a failed operation begins another", run: failsAnew, lacking: func(l Lacks) string { return cmp.Or(l.Tokens, l.Failure) }},
		{name: "a version that is not offered comes to nothing", run: notOffered, lacking: catalogue},
		{name: "calls that come too often are told when to come again", run: throttled, lacking: func(l Lacks) string { return l.Throttling }},
		{name: "expired credentials are worth another try", run: expired, lacking: func(l Lacks) string { return l.Expiry }},
	}
}

func failure(l Lacks) string { return l.Failure }

func catalogue(l Lacks) string { return l.Catalogue }

func fails(w *trial) {
	to := w.Failing(w.ref)
	begun := w.ensure(w.control(w.Versions.Old, to, "t"))
	op := w.ended()
	if op.Phase != provider.Failed || op.ID != begun.ID || op.Code == "" || op.Message == "" {
		w.Errorf("operation = %+v, want %s failed with code and message", op, begun.ID)
	}
	w.until("the old version, Ready", func(o provider.Observation) bool {
		return o.ControlPlane.Ready && o.ControlPlane.Oldest == w.Versions.Old && o.ControlPlane.Newest == w.Versions.Old
	})
}

func failsAnew(w *trial) {
	to := w.Failing(w.ref)
	w.ensure(w.control(w.Versions.Old, to, "first"))
	failed := w.ended()
	if op := w.ensure(w.control(w.Versions.Old, to, "first")); op.ID != failed.ID || op.Phase != provider.Failed {
		w.Errorf("the old token = %+v, want the operation that failed: %+v", op, failed)
	}
	op := w.ensure(w.control(w.Versions.Old, w.Versions.Next, "second"))
	if op.ID == failed.ID || op.Phase != provider.Running {
		w.Errorf("a new token = %+v, want another operation than %s", op, failed.ID)
	}
	w.until("the second operation succeeds", func(o provider.Observation) bool {
		return slices.ContainsFunc(operations(o, controlPlane()), func(seen provider.Operation) bool {
			return seen.ID == op.ID && seen.Phase == provider.Succeeded
		})
	})
}

// notOffered: a provider says no at once, or tries and fails.
func notOffered(w *trial) {
	op, err := w.Provider.Ensure(w.Context(), w.ref, w.control(w.Versions.Old, w.Missing(w.ref), "t"))
	if err != nil {
		w.fault(err, provider.Stop, provider.CodeNotOffered)
	} else if ended := w.ended(); ended.ID != op.ID || ended.Phase != provider.Failed || ended.Code == "" || ended.Message == "" {
		w.Errorf("operation = %+v, want that it failed, with code and message", ended)
	}
	w.until("the old version, Ready", func(o provider.Observation) bool {
		return o.ControlPlane.Ready && o.ControlPlane.Oldest == w.Versions.Old && o.ControlPlane.Newest == w.Versions.Old
	})
}

func throttled(w *trial) {
	w.Throttle(w.ref)
	change := w.control(w.Versions.Old, w.Versions.Next, "t")
	fault := w.refused(change, provider.Retry, provider.CodeThrottled)
	if fault.After <= 0 {
		w.Errorf("fault = %+v, want when to come again", fault)
	}
	if all := w.observe().Operations; len(all) != 0 {
		w.Errorf("operations = %+v after a call that came too often", all)
	}
	w.ensure(change)
	w.ended()
	w.one()
}

func expired(w *trial) {
	change := w.control(w.Versions.Old, w.Versions.Next, "t")
	w.Expire(w.ref)
	w.refused(change, provider.Retry, provider.CodeUnauthorized)
	_, err := w.Provider.Observe(w.Context(), w.ref)
	w.fault(err, provider.Retry, provider.CodeUnauthorized)
	w.Renew(w.ref)
	if all := w.observe().Operations; len(all) != 0 {
		w.Errorf("operations = %+v after a call with expired credentials", all)
	}
	w.ensure(change)
	w.ended()
	w.one()
}
