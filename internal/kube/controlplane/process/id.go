package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ID tells one process from every other one that ever had its pid.
type ID struct {
	PID int `json:"pid"`
	// Ticks is when the process started, in clock ticks since boot.
	Ticks uint64 `json:"ticks"`
	// Boot is the kernel's random id of that boot.
	Boot string `json:"boot"`
}

// Self is the ID of the running process.
func Self() (ID, error) { return Identify(os.Getpid()) }

// Identify reads the ID of a living process. Of one that has ended it is
// os.ErrProcessDone.
func Identify(pid int) (ID, error) {
	boot, err := Boot()
	if err != nil {
		return ID{}, err
	}
	text, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, os.ErrProcessDone)
	}
	s, err := parseStat(text)
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	if !s.alive {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, os.ErrProcessDone)
	}
	return ID{PID: pid, Ticks: s.ticks, Boot: boot}, nil
}

// Alive tells whether this very process still runs. A zombie does not: it only
// waits for its parent to take note.
func (id ID) Alive() bool {
	now, err := Identify(id.PID)
	return err == nil && now == id
}

// Boot is the kernel's id of the running boot.
func Boot() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the id of this boot: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Executable is the file a process runs, also when it has been deleted since.
func Executable(pid int) (string, error) {
	exe, err := os.Readlink(procPath(pid, "exe"))
	if err != nil {
		return "", fmt.Errorf("read the executable of process %d: %w", pid, err)
	}
	return strings.TrimSuffix(exe, " (deleted)"), nil
}

// stat is what we read of /proc/PID/stat.
type stat struct {
	ticks uint64
	alive bool
}

// parseStat reads the start time, which is field 22 of /proc/PID/stat, and the
// state, field 3. Field 2 is the command's name in parentheses and may hold
// spaces and parentheses itself, so counting starts after the last one.
func parseStat(text []byte) (stat, error) {
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 20 {
		return stat{}, errors.New("its stat has too few fields")
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("its start time: %w", err)
	}
	state := fields[0]
	return stat{ticks: ticks, alive: state != "Z" && state != "X"}, nil
}

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}

// markVariable is the environment variable that carries a process's mark.
const markVariable = "REFIT_MARK"

// Find lists the living processes that were started with a mark of this prefix,
// each with the rest of its mark.
func Find(prefix string) (map[ID]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	found := map[ID]string{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		rest, marked := strings.CutPrefix(markOf(pid), prefix)
		if !marked {
			continue
		}
		if id, err := Identify(pid); err == nil {
			found[id] = rest
		}
	}
	return found, nil
}

// markOf is empty where there is no mark, or the process is not ours to read.
func markOf(pid int) string {
	environment, err := os.ReadFile(procPath(pid, "environ"))
	if err != nil {
		return ""
	}
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if mark, ok := strings.CutPrefix(variable, markVariable+"="); ok {
			return mark
		}
	}
	return ""
}
