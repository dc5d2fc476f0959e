package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/kube/controlplane/process"
)

// UpOptions say what "refit up" runs.
type UpOptions struct {
	DataDir string
	// Kubeconfig of a management cluster; empty starts the embedded hub.
	Kubeconfig string
	Namespace  string
	// Port of the embedded hub; 0 is the one of the last start.
	Port int
	// LogLevel is the least that is logged, here and by the supervisors.
	LogLevel slog.Level
	// FakeProvider serves made-up members as well.
	FakeProvider bool
	// Metrics is the address that metrics are served on; empty serves none.
	Metrics string
	// Webhook is a file that says where a webhook is; empty for none.
	Webhook string
	// Health is the address that probes are answered on; empty answers none.
	Health string
	// GateHosts are those that gates may call, as HOST or HOST:PORT.
	GateHosts []string
	// SourcePrefixes are the Git repositories that members' sources may be in, or what
	// those are in.
	SourcePrefixes []string
	// Out is where a person is told what happens.
	Out io.Writer
	// Ready is called once everything runs.
	Ready func()
}

// readyTimeout is how long a detached hub may take to say that it is ready.
const readyTimeout = 2 * time.Minute

func newUpCommand(app App) *cobra.Command {
	var port int
	var detach, fakeProvider bool
	var loops loopFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the hub and the control loops",
		Long: `Start the hub, a Kubernetes API server inside this process, and the control
loops, and bring up the local members. It runs until interrupted; everything is
kept in the data directory. Its log is logs/refit.log there, one JSON object a line.

With --kubeconfig the same loops run against that management cluster instead.

With --gate-host the gates of fleets may ask the Prometheus there; they call no
other host. A host without a port has that of the scheme of the gate's URL.

With --fake-provider it also serves members with the provider "fake": clusters
made up in memory, to try Refit with. They are gone when it ends.

With --source-prefix members' versions may be declared in a Git repository at that
address, or in those below it (MemberCluster.spec.source). Without it none is used.

What happens is told by Events of the hub; by metrics, with --metrics; and by
CloudEvents to a webhook, whose address is in the file that --webhook names, with a
bearer's token on its second line where it wants one.`,
		Example: `  refit up
  refit up --detach && kubectl --kubeconfig ~/.local/share/refit/kubeconfig get fleets
  refit up --kubeconfig ~/.kube/management
  refit up --fake-provider
  refit up --source-prefix https://git.example.com/infrastructure
  refit up --gate-host prometheus.example:9090
  refit up --metrics 127.0.0.1:9464 --webhook ~/.config/refit/webhook`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			announce := announcer(flag(cmd, "data-dir"))
			switch {
			case port < 0 || port > 65535:
				return fmt.Errorf("--port %d: is no port; name one from 1 to 65535, or leave it out for the one of the last start", port)
			case port != 0 && flag(cmd, "kubeconfig") != "":
				return fmt.Errorf("--port %d: is of the embedded hub, and --kubeconfig %s names another; leave one of them out", port, flag(cmd, "kubeconfig"))
			}
			options, err := loops.options(cmd)
			if err != nil {
				return err
			}
			options.Port, options.FakeProvider = port, fakeProvider
			if detach {
				return upDetached(cmd.Context(), options)
			}
			options.Ready = announce
			return app.Up(cmd.Context(), options)
		},
	}
	loops.add(cmd)
	cmd.Flags().IntVar(&port, "port", 0, "loopback port of the hub (default: the one of the last start, else any that is free)")
	cmd.Flags().BoolVarP(&detach, "detach", "d", false, "return once everything runs, and leave it running")
	cmd.Flags().BoolVar(&fakeProvider, "fake-provider", false, "also serve made-up members, to try Refit with")
	return cmd
}

// readyPipe is the file descriptor on which a detached hub says that it is
// ready: the first after standard error.
const (
	readyPipe     = 3
	readyVariable = "REFIT_READY_PIPE"
)

// announcer tells the process that started us, if one waits, that we are ready.
// From then on what we say goes to a log in the data directory, which is ours by
// then. What we start meanwhile must not inherit the pipe: it would hold it open.
func announcer(dataDir string) func() {
	if os.Getenv(readyVariable) == "" {
		return func() {}
	}
	_ = os.Unsetenv(readyVariable)
	syscall.CloseOnExec(readyPipe)
	pipe := os.NewFile(readyPipe, "ready")
	return func() {
		sayTo(filepath.Join(dataDir, "logs", "up.log"))
		_, _ = pipe.WriteString("ready\n") // who does not wait any more need not be told
		_ = pipe.Close()
	}
}

// wordsLimit is more than a process says in its life that has a log to say it to.
const wordsLimit = 1 << 20

// openWords opens the file of what a process says beside its log, such as why it
// panics, and bounds what those before it said.
func openWords(path string) (*os.File, error) {
	_ = process.BoundLog(path, wordsLimit) // what cannot be bounded is written to all the same
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// sayTo sends standard output and error to the end of a file.
func sayTo(path string) {
	file, err := openWords(path)
	if err != nil {
		return // they stay where they are: nobody reads it, and nothing breaks
	}
	for _, standard := range []int{1, 2} {
		_ = replace(standard, int(file.Fd()))
	}
	_ = file.Close()
}

// upDetached starts the same command in a session of its own, and waits until
// it says that it is ready. Until then its words are kept elsewhere: it has yet
// to find out whether it may write to the data directory.
func upDetached(ctx context.Context, options UpOptions) error {
	words, err := os.CreateTemp("", "refit-up-*.log")
	if err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	defer func() { _ = errors.Join(words.Close(), os.Remove(words.Name())) }()
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	defer func() { _ = reader.Close() }()

	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	child := exec.Command(self, options.args()...) //nolint:noctx // it outlives this command on purpose
	child.Stdout, child.Stderr = words, words
	child.ExtraFiles = []*os.File{writer}
	child.Env = append(os.Environ(), readyVariable+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	_ = writer.Close()
	return awaitReady(ctx, options, reader, child, words.Name())
}

// args are the command line that runs in this process what the options say.
func (options UpOptions) args() []string {
	args := []string{
		"up", "--data-dir", options.DataDir, "--namespace", options.Namespace, "--port", fmt.Sprint(options.Port),
		"--log-level", levelName(options.LogLevel), fmt.Sprintf("--fake-provider=%t", options.FakeProvider),
	}
	if options.Metrics != "" {
		args = append(args, "--metrics", options.Metrics)
	}
	if options.Webhook != "" {
		args = append(args, "--webhook", options.Webhook)
	}
	if options.Kubeconfig != "" {
		args = append(args, "--kubeconfig", options.Kubeconfig)
	}
	for _, host := range options.GateHosts {
		args = append(args, "--gate-host", host)
	}
	for _, prefix := range options.SourcePrefixes {
		args = append(args, "--source-prefix", prefix)
	}
	return args
}

func awaitReady(ctx context.Context, options UpOptions, reader *os.File, child *exec.Cmd, words string) error {
	ready := make(chan bool, 1)
	go func() {
		n, _ := reader.Read(make([]byte, 16)) // the end of the pipe is the end of the process
		ready <- n > 0
	}()
	select {
	case ok := <-ready:
		text, _ := os.ReadFile(words)
		if ok {
			fmt.Fprintf(options.Out, "%srefit is up (pid %d); stop it with \"refit down\"\n", text, child.Process.Pid)
			return child.Process.Release()
		}
		_ = child.Wait() // its exit is told by its words
		return errors.New(strings.TrimPrefix(strings.TrimSpace(string(text)), "refit: "))
	case <-time.After(readyTimeout):
		text, _ := os.ReadFile(words)
		return fmt.Errorf("the hub (pid %d) is not ready after %s; see %s: %s",
			child.Process.Pid, readyTimeout, filepath.Join(options.DataDir, "logs"), text)
	case <-ctx.Done():
		_ = child.Process.Signal(syscall.SIGTERM) // it was ours to start
		return ctx.Err()
	}
}
