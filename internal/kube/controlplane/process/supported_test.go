package process

import "testing"

func TestSupportedOn(t *testing.T) {
	for system, want := range map[string]string{
		"linux":  "",
		"darwin": "local members are Linux only: their processes are told apart by /proc and held by pidfds, which darwin does not have; run refit in a Linux virtual machine, or use a cluster that runs elsewhere",
	} {
		got := ""
		if err := supportedOn(system); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("on %s\ngot  %q\nwant %q", system, got, want)
		}
	}
}
