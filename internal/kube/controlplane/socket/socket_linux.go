package socket

import (
	"fmt"
	"os"
)

func throughOpen(folder *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", folder.Fd()) }
