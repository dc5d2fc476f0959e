package controlplane

import (
	"fmt"
	"net"
	"testing"
)

func TestChoosePortsAvoidsWhatIsTaken(t *testing.T) {
	first, err := ChoosePorts("/data/local/one", nil)
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first.Scheduler))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	recorded := Ports{APIServer: first.APIServer} // of a member that is stopped
	second, err := ChoosePorts("/data/local/one", []Ports{recorded})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{0: true, first.APIServer: true, first.Scheduler: true}
	for _, port := range second.all() {
		if seen[port] || port < firstPort || port >= firstPort+portCount {
			t.Errorf("port %d is taken or out of range; %+v after %+v", port, second, first)
		}
		seen[port] = true
	}
	if len(second.all()) != 3 {
		t.Errorf("ports = %+v, want three", second)
	}
}

func TestChoosePortsWhenNoneIsLeft(t *testing.T) {
	var taken []Ports
	for port := firstPort; port < firstPort+portCount; port += 3 {
		taken = append(taken, Ports{port, port + 1, port + 2})
	}
	if ports, err := ChoosePorts("/data/local/one", taken); err == nil {
		t.Errorf("ChoosePorts = %+v, want an error", ports)
	}
}
