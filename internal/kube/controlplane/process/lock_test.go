package process

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The lock is its holder's until that ends, even if it is killed.
func TestLockOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if _, held := Holder(path); held {
		t.Error("a lock that is not there is held")
	}
	other := exec.Command(os.Args[0], "lock", path)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "taken\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	_, err = TakeLock(path)
	held := (*HeldError)(nil)
	if !errors.As(err, &held) || held.Holder.PID != other.Process.Pid {
		t.Errorf("TakeLock = %v, want it held by %d", err, other.Process.Pid)
	}
	if id, held := Holder(path); !held || id.PID != other.Process.Pid {
		t.Errorf("Holder = %v, %t; want %d", id, held, other.Process.Pid)
	}

	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	if id, held := Holder(path); held {
		t.Errorf("Holder = %v of a killed process", id)
	}
	lock, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if id, held := Holder(path); !held || id.PID != os.Getpid() {
		t.Errorf("Holder = %v, %t; want this process", id, held)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestHolderOfALockThatSaysNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, held := Holder(path); held {
		t.Errorf("Holder = %v", id)
	}
}
