package cli

import (
	"strings"
	"testing"
)

// Every shell gets a script that completes refit, and that asks refit itself.
func TestCompletion(t *testing.T) {
	for _, test := range []struct{ shell, registers string }{
		{"bash", "complete -o default -F __start_refit refit"},
		{"zsh", "#compdef refit"},
		{"fish", "complete -c refit "},
		{"powershell", "Register-ArgumentCompleter -CommandName 'refit'"},
	} {
		out, err := refit(t, unreached(t), "completion", test.shell)
		if err != nil {
			t.Errorf("refit completion %s: %v", test.shell, err)
		}
		for _, want := range []string{test.registers, "__complete"} {
			if !strings.Contains(out, want) {
				t.Errorf("refit completion %s prints no %q, but\n%s", test.shell, want, out)
			}
		}
	}
}

// What the scripts ask, and what refit answers, without a hub.
func TestCompletionAnswers(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"stat"}, []string{"status\tShow fleets and members"}},
		{[]string{"local", "st"}, []string{"start\t", "stop\t"}},
		{[]string{"dash"}, []string{"dashboard\tShow fleets and members in a browser"}},
		{[]string{"dashboard", "--li"}, []string{"--listen\t"}},
		{[]string{"up", "--det"}, []string{"--detach\t"}},
		{[]string{"completion", ""}, []string{"bash\t", "fish\t", "powershell\t", "zsh\t"}},
	} {
		out, err := refit(t, unreached(t), append([]string{"__complete"}, test.args...)...)
		if err != nil {
			t.Errorf("complete %q: %v", test.args, err)
		}
		for _, want := range test.want {
			if !strings.Contains("\n"+out, "\n"+want) {
				t.Errorf("complete %q offers no %q, but\n%s", test.args, want, out)
			}
		}
	}
}
