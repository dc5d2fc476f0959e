// Package cli is the commands. They read and write objects of the hub, and know
// nothing of the loops; what starts a hub is handed in by package app.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// DefaultNamespace holds Refit's objects where nobody names another.
const DefaultNamespace = "refit"

// App is what commands need of the assembled program.
type App struct {
	Version string
	// Now is the clock that what people are shown is told by.
	Now func() time.Time
	// Up runs hub and loops until ctx ends.
	Up func(ctx context.Context, options UpOptions) error
	// Controllers runs the loops alone until ctx ends.
	Controllers func(ctx context.Context, options UpOptions) error
	// Demo runs the demonstration.
	Demo func(ctx context.Context, options DemoOptions) error
	// Lab runs a made-up cloud until ctx ends.
	Lab func(ctx context.Context, options LabOptions) error
	// Dashboard serves the pages until ctx ends.
	Dashboard func(ctx context.Context, options DashboardOptions) error
	// HubProcess is the pid of the process that runs the hub of a data
	// directory; 0 where none does.
	HubProcess func(dataDir string) (int, error)
	// Issue makes a kubeconfig of the embedded hub of a data directory.
	Issue func(dataDir string, who Person) ([]byte, error)
	// DataFiles are the names of what Refit has in a data directory.
	DataFiles []string
}

// New is the refit command.
func New(app App) *cobra.Command {
	root := &cobra.Command{
		Use:   "refit",
		Short: "Keep fleets of Kubernetes clusters at the release you declare",
		Long: `Refit keeps fleets of Kubernetes clusters at the release you declare: change
spec.release of a Fleet, and a control loop carries its clusters there, hop by
hop, control planes and nodes, and says at every moment why the rest waits.`,
		Example: `  refit up                                                 # start the hub
  refit local create one --version v1.36.3 --nodes 4       # a real cluster, on this machine
  kubectl --kubeconfig ~/.local/share/refit/kubeconfig apply -f fleet.yaml
  refit status --watch`,
		Version:           app.Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return checkFlags(cmd) },
	}
	flags := root.PersistentFlags()
	flags.String("data-dir", defaultDataDir(), "folder of the hub and of local members")
	flags.String("kubeconfig", "", "kubeconfig of a management cluster to use instead of the embedded hub")
	flags.StringP("namespace", "n", DefaultNamespace, "namespace of the hub that Refit's objects are in")
	root.AddCommand(
		newUpCommand(app), newDownCommand(app), newControllersCommand(app),
		newLocalCommand(localHooks(root, app)), newKubeCommand(), newSuperviseCommand(),
		newPlanCommand(app), newStatusCommand(app), newWhyCommand(app), newDriftCommand(app), newReportCommand(app),
		newDashboardCommand(app),
		newPauseCommand(), newSkipCommand(), newResumeCommand(), newRetryCommand(), newAbortCommand(), newForgetCommand(), newTakeOverCommand(),
		newUserCommand(app),
		newDemoCommand(app), newLabCommand(app), newVersionCommand(app), newUninstallCommand(app),
	)
	return root
}

// meaningless are the flags of all commands that some can do nothing with, and
// why: what would be ignored in silence is refused.
func meaningless() map[string]struct {
	flags []string
	why   string
} {
	return map[string]struct {
		flags []string
		why   string
	}{
		"demo":      {[]string{"data-dir", "kubeconfig", "namespace"}, "demo has a hub and a folder of its own"},
		"lab":       {[]string{"data-dir", "kubeconfig", "namespace"}, "a lab is no hub, and has a folder of its own"},
		"kube":      {[]string{"data-dir", "kubeconfig", "namespace"}, "kube works on the cache of binaries alone"},
		"uninstall": {[]string{"kubeconfig", "namespace"}, "uninstall removes what is on this machine, and nothing of a management cluster"},
	}
}

// checkFlags looks at the flags that all commands have.
func checkFlags(cmd *cobra.Command) error {
	top := strings.Fields(cmd.CommandPath() + " -")[1]
	for _, name := range meaningless()[top].flags {
		if cmd.Flag(name).Changed {
			return fmt.Errorf("--%s: means nothing here: %s; leave it out", name, meaningless()[top].why)
		}
	}
	if flag(cmd, "data-dir") == "" {
		return errors.New("--data-dir is empty; name a folder, or leave it out")
	}
	if path := cmd.Flag("kubeconfig"); path.Changed && path.Value.String() == "" {
		return errors.New("--kubeconfig is empty; name the file of a management cluster, or leave it out for the embedded hub")
	}
	if namespace := flag(cmd, "namespace"); len(validation.IsDNS1123Label(namespace)) > 0 {
		return fmt.Errorf("--namespace %q is no name of a namespace; use at most 63 lower-case letters, digits and inner hyphens", namespace)
	}
	return nil
}

// defaultDataDir follows the XDG base directory specification.
func defaultDataDir() string {
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "refit")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "refit-data"
	}
	return filepath.Join(home, ".local", "share", "refit")
}

// scheme knows Refit's kinds, the questions who one is and who the hub is, and
// what people may do.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(v1.AddToScheme(s), authenticationv1.AddToScheme(s), corev1.AddToScheme(s), rbacv1.AddToScheme(s))
}

// hub is a connection to the hub that the flags name.
type hub struct {
	client    client.Client
	namespace string
}

// connect finds the hub: --kubeconfig, else the one in the data directory.
func connect(cmd *cobra.Command) (*hub, error) {
	config, err := hubConfig(cmd)
	if err != nil {
		return nil, err
	}
	log.SetLogger(logr.Discard()) // a command says what it has to say itself
	s, err := scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: s})
	if err != nil {
		return nil, fmt.Errorf("connect to the hub at %s: %w; is it running? start it with \"refit up\"", config.Host, err)
	}
	return &hub{client: c, namespace: flag(cmd, "namespace")}, nil
}

func hubConfig(cmd *cobra.Command) (*rest.Config, error) {
	path := hubKubeconfig(cmd)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if errors.Is(err, fs.ErrNotExist) || os.IsNotExist(err) {
		return nil, fmt.Errorf("no hub: %s does not exist; start one with \"refit up\", or name a management cluster with --kubeconfig", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	config.QPS, config.Burst = 50, 100
	return config, nil
}

func hubKubeconfig(cmd *cobra.Command) string {
	if path := flag(cmd, "kubeconfig"); path != "" {
		return path
	}
	return filepath.Join(flag(cmd, "data-dir"), "kubeconfig")
}

// read is everything of the namespace.
func (h *hub) read(ctx context.Context) (observe.Hub, error) {
	seen, err := observe.ReadHub(ctx, h.client, h.namespace)
	if err != nil {
		return observe.Hub{}, fmt.Errorf("%w; is the hub running? see \"refit up\"", err)
	}
	return seen, nil
}

// flag is the value of a string flag that is known to exist.
func flag(cmd *cobra.Command, name string) string {
	return cmd.Flag(name).Value.String()
}
