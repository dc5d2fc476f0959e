package controlplane

import (
	"fmt"
	"hash/fnv"
	"net"
)

// Ports are the loopback ports of one control plane. etcd has none: it listens
// on a socket in the control plane's own folder, where no other user reaches it.
type Ports struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager"`
	Scheduler         int `json:"scheduler"`
}

// Ports are looked for in this range, which lies below those that the kernel
// gives to outgoing connections (32768 and up): a stopped control plane's ports
// are not lost to them by chance.
const (
	firstPort = 21000
	portCount = 10000
)

// of is the port of a part, nil if it has none.
func (p *Ports) of(part Part) *int {
	switch part {
	case APIServer:
		return &p.APIServer
	case ControllerManager:
		return &p.ControllerManager
	case Scheduler:
		return &p.Scheduler
	case Etcd, Kwok:
	}
	return nil
}

// all lists the ports, zeros left out.
func (p Ports) all() []int {
	var all []int
	for _, port := range []int{p.APIServer, p.ControllerManager, p.Scheduler} {
		if port != 0 {
			all = append(all, port)
		}
	}
	return all
}

// ChoosePorts finds three free ports that are not among those taken. It begins
// at a place that depends on the folder, so that data directories that do not
// know of each other seldom meet. The caller holds the lock of the data
// directory until the ports are recorded.
func ChoosePorts(dir string, taken []Ports) (Ports, error) {
	used := map[int]bool{}
	for _, ports := range taken {
		for _, port := range ports.all() {
			used[port] = true
		}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(dir)) // never fails
	start := int(hash.Sum32() % portCount)
	var found []int
	for i := 0; i < portCount && len(found) < 3; i++ {
		port := firstPort + (start+i)%portCount
		if !used[port] && portFree(port) {
			found = append(found, port)
		}
	}
	if len(found) < 3 {
		return Ports{}, fmt.Errorf("no three free ports between %d and %d on 127.0.0.1; end some of what listens there", firstPort, firstPort+portCount-1)
	}
	return Ports{APIServer: found[0], ControllerManager: found[1], Scheduler: found[2]}, nil
}

// portFree tries it out: nothing else tells.
func portFree(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return err == nil && listener.Close() == nil
}
