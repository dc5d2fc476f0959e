package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this binary the processes that the tests need.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "sleep":
		time.Sleep(time.Minute) //nolint:forbidigo // to be there is all it does
	case "exit":
		fmt.Fprintln(os.Stdout, "goodbye")
		os.Exit(3)
	case "orphan": // starts a sleeper and ends
		p, err := Start(Command{Path: os.Args[0], Args: []string{"sleep"}, Log: os.DevNull, Mark: os.Args[2]})
		if err != nil {
			panic(err)
		}
		_ = json.NewEncoder(os.Stdout).Encode(p.ID)
	case "lock": // takes a lock and keeps it
		if _, err := TakeLock(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, "taken")
		time.Sleep(time.Minute) //nolint:forbidigo // to be there is all it does
	default:
		os.Exit(m.Run())
	}
}

// sleeper starts a process that would run for longer than the test.
func sleeper(t *testing.T, mark string) *Process {
	t.Helper()
	p, err := Start(Command{Path: os.Args[0], Args: []string{"sleep"}, Log: filepath.Join(t.TempDir(), "log"), Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, p) })
	return p
}

func end(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	awaitEnd(t, p)
}

func awaitEnd(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(30 * time.Second):
		t.Fatalf("process %d has not ended", p.ID.PID)
	}
}

func TestStartTellsHowItEnded(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(Command{Path: os.Args[0], Args: []string{"exit"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, p)
	if p.How() != "exit status 3" {
		t.Errorf("How() = %q, want exit status 3", p.How())
	}
	if text, _ := os.ReadFile(log); string(text) != "goodbye\n" {
		t.Errorf("log = %q, want what it printed", text)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
}

func TestStartOfWhatIsNotThere(t *testing.T) {
	_, err := Start(Command{Path: "/nowhere/etcd", Log: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere/etcd") {
		t.Errorf("err = %v, want one that names the file", err)
	}
}

// A process whose starter has ended is adopted, waited for and ended.
func TestAdoptOrphan(t *testing.T) {
	mark := t.TempDir() + " sleeper"
	out, err := exec.Command(os.Args[0], "orphan", mark).Output()
	if err != nil {
		t.Fatal(err)
	}
	var id ID
	if err := json.Unmarshal(out, &id); err != nil {
		t.Fatal(err)
	}
	p, err := Adopt(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, p) })
	if found, err := Find(strings.TrimSuffix(mark, "sleeper")); err != nil || found[id] != "sleeper" || len(found) != 1 {
		t.Errorf("Find = %v, %v; want it alone", found, err)
	}
	if exe, _ := os.Executable(); p.Exe != exe {
		t.Errorf("Exe = %q, want %q", p.Exe, exe)
	}
	if p.How() != "" || !id.Alive() {
		t.Errorf("How() = %q, Alive() = %t; want a living process", p.How(), id.Alive())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, p)
	if id.Alive() || p.How() == "" {
		t.Errorf("Alive() = %t, How() = %q after its end", id.Alive(), p.How())
	}
}

// A pid that was given out again is another process.
func TestAdoptRefusesStrangers(t *testing.T) {
	p := sleeper(t, "")
	tests := map[string]func(*ID){
		"started at another time": func(id *ID) { id.Ticks++ },
		"of another boot":         func(id *ID) { id.Boot = "another" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			id := p.ID
			change(&id)
			if id.Alive() {
				t.Error("a stranger is taken for the process")
			}
			if _, err := Adopt(id); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Adopt = %v, want %v", err, os.ErrProcessDone)
			}
		})
	}
}

func TestAdoptOfOneThatHasEnded(t *testing.T) {
	p := sleeper(t, "")
	end(t, p)
	if _, err := Adopt(p.ID); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Adopt = %v, want %v", err, os.ErrProcessDone)
	}
	if _, err := Identify(p.ID.PID); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Identify = %v, want %v", err, os.ErrProcessDone)
	}
}

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		text  string
		ticks uint64
		alive bool
		fails bool
	}{
		"plain":                {statLine("etcd", "S", "200277"), 200277, true, false},
		"name with everything": {statLine("a) b ( 7 Z", "R", "5"), 5, true, false},
		"zombie":               {statLine("etcd", "Z", "5"), 5, false, false},
		"short":                {"1 (etcd) S 1", 0, false, true},
		"no name":              {"1 S 1 2 3", 0, false, true},
		"not a number":         {statLine("etcd", "S", "soon"), 0, false, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(test.text))
			if (err != nil) != test.fails || (err == nil && got != stat{test.ticks, test.alive}) {
				t.Errorf("parseStat = %+v, %v", got, err)
			}
		})
	}
}

// statLine is a line of /proc/PID/stat: 52 fields, the 22nd of which is the start.
func statLine(name, state, start string) string {
	return "7 (" + name + ") " + state + strings.Repeat(" 1", 18) + " " + start + strings.Repeat(" 1", 30)
}
