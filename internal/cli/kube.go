package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/kube"
)

// newKubeCommand is "refit kube": the binaries that local members run.
func newKubeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kube",
		Short: "Get, import, export and list the Kubernetes binaries of local members",
		Long: `Local members run the real Kubernetes, etcd and kwok. Their binaries are kept in
$XDG_CACHE_HOME/refit (or ~/.cache/refit), where all members share them.

"refit local create" gets what is missing by itself. Get it beforehand with
"refit kube get", or carry it to a machine that has neither network nor Go with
"refit kube export" and "refit kube import".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKubeGetCommand(), newKubeImportCommand(), newKubeExportCommand(), newKubeListCommand())
	return cmd
}

func newKubeGetCommand() *cobra.Command {
	var baseURL string
	cmd := &cobra.Command{
		Use:   "get VERSION...",
		Short: "Download Kubernetes, etcd and kwok, or build them",
		Long: `Get Kubernetes of the given versions, and the etcd and kwok that members run
beside it. They are downloaded from the official release servers and verified by
checksum. Where those do not answer within 3 s, or with anything but the right
file, they are built from the published Go modules, which needs Go, 9 GB of disk,
and some 6 minutes on two cores; kwok, of which no checksum is published, always.`,
		Example: `  refit kube get v1.36.3
  refit kube get v1.35.4 v1.36.3 v1.37.2
  refit kube get v1.36.3 --base-url https://mirror.example/release`,
		Args: needKubeVersions("get"),
		RunE: func(cmd *cobra.Command, versions []string) error {
			store, err := kube.UserStore(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("base-url") {
				if store.Sources, err = kube.MirrorSources(baseURL); err != nil {
					return fmt.Errorf("--base-url: %w", err)
				}
			}
			return getKube(cmd, store, versions)
		},
	}
	cmd.Flags().StringVar(&baseURL, "base-url", "", "download from this mirror of https://dl.k8s.io/release, and from its folders etcd and kwok (default $"+kube.BaseURLVariable+")")
	return cmd
}

func getKube(cmd *cobra.Command, store *kube.Store, versions []string) error {
	artefacts := append(kube.Pinned(), kubernetesOf(versions)...)
	for _, a := range artefacts { // all of them before the first, which may take minutes
		if err := store.Check(cmd.Context(), a); err != nil {
			return err
		}
	}
	for _, a := range artefacts {
		dir, err := store.Get(cmd.Context(), a)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", a, dir)
	}
	return nil
}

func newKubeImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Take binaries from a tar file",
		Long: `Take Kubernetes, etcd and kwok out of a tar file, compressed with gzip or not: one
that "refit kube export" wrote, an official kubernetes-server-OS-ARCH.tar.gz or
etcd-VERSION-OS-ARCH.tar.gz, or any other in which a folder holds all commands of
one of them. Every command is run and asked for its version. All or nothing is kept.`,
		Example: `  refit kube import refit-kube.tar.gz
  refit kube import kubernetes-server-linux-amd64.tar.gz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one file, like: refit kube import refit-kube.tar.gz")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := kube.UserStore(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			entries, err := store.Import(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printKubeEntries(cmd.OutOrStdout(), entries)
		},
	}
}

func newKubeExportCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "export VERSION... -o FILE",
		Short: "Pack binaries into a file for a machine without network and Go",
		Long: `Pack Kubernetes of the given versions, and the etcd and kwok that members run
beside it, into one file for "refit kube import". They must have been got before.`,
		Example: `  refit kube export v1.36.3 v1.37.2 -o refit-kube.tar.gz`,
		Args:    needKubeVersions("export"),
		RunE: func(cmd *cobra.Command, versions []string) error {
			if file == "" {
				return errors.New("-o: name the file to write, like: -o refit-kube.tar.gz")
			}
			store, err := kube.UserStore(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			artefacts := append(kube.Pinned(), kubernetesOf(versions)...)
			for _, a := range artefacts {
				if err := store.Check(cmd.Context(), a); err != nil {
					return err
				}
			}
			entries, err := store.Export(file, artefacts)
			if err != nil {
				return err
			}
			return printKubeEntries(cmd.OutOrStdout(), entries)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the file to write")
	return cmd
}

func newKubeListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the binaries that are there",
		Example: `  refit kube list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := kube.UserStore(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "There are none in %s. Get some with: refit kube get v1.36.3\n", store.Dir)
				return nil
			}
			return printKubeEntries(cmd.OutOrStdout(), entries)
		},
	}
}

func needKubeVersions(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name a version, like: refit kube %s v1.36.3", verb)
		}
		return nil
	}
}

func kubernetesOf(versions []string) []kube.Artefact {
	artefacts := make([]kube.Artefact, 0, len(versions))
	for _, v := range versions {
		artefacts = append(artefacts, kube.Artefact{Name: kube.Kubernetes, Version: v})
	}
	return artefacts
}

func printKubeEntries(out io.Writer, entries []kube.Entry) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tPLATFORM\tFROM\tSIZE\tSINCE\tFOLDER")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d MB\t%s\t%s\n", e.Name, e.Version, e.Platform, e.Origin,
			e.Size/1e6, e.Since.Local().Format("2006-01-02 15:04"), e.Dir)
	}
	return table.Flush()
}
