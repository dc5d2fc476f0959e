package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	genericfilters "k8s.io/apiserver/pkg/endpoints/filters"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane/apiserver"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
)

// What is signed for a service account says who signed it. The name is the one every cluster has by default.
const issuer = "https://kubernetes.default.svc"

// serverConfig is what the API server is built from.
type serverConfig struct {
	dir   dataDir
	port  *port
	etcd  string
	audit Audit
	kinds []schema.GroupVersion
}

// An apiServer is built and not yet running.
type apiServer struct {
	run       func(context.Context) error
	loopback  *rest.Config // an administrator without a certificate, for controllers in this process
	informers informers.SharedInformerFactory
}

// newAPIServer chains three servers, as every Kubernetes API server does: what the aggregator does not know it hands to
// the built-in kinds, and these hand what they do not know to the custom ones.
func newAPIServer(ctx context.Context, config serverConfig) (apiServer, error) {
	// Both serve API servers that must find each other, and write a lease every ten seconds to that end.
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		"APIServerIdentity":                   false,
		"UnknownVersionInteroperabilityProxy": false,
	}); err != nil {
		return apiServer{}, fmt.Errorf("configure the API server: %w", err)
	}
	opts, err := newServerOptions(config).Complete(ctx, nil, nil)
	if err != nil {
		return apiServer{}, fmt.Errorf("configure the API server: %w", err)
	}
	if err := errors.Join(opts.Validate()...); err != nil {
		return apiServer{}, fmt.Errorf("configure the API server: %w", err)
	}
	chain, err := newServerChain(opts, config.kinds)
	if err != nil {
		return apiServer{}, fmt.Errorf("configure the API server: %w", err)
	}
	aggregator, err := chain.build()
	if err != nil {
		return apiServer{}, fmt.Errorf("build the API server: %w", err)
	}
	prepared, err := aggregator.PrepareRun()
	if err != nil {
		return apiServer{}, fmt.Errorf("prepare the API server: %w", err)
	}
	return apiServer{
		run:       prepared.Run,
		loopback:  chain.builtIn.Generic.LoopbackClientConfig,
		informers: chain.builtIn.VersionedInformers,
	}, nil
}

func newServerOptions(config serverConfig) *options.Options {
	o := options.NewOptions()
	o.SecureServing.Listener = config.port.Listener
	// Otherwise it looks for an address that others could reach, and fails on a machine without a network.
	o.GenericServerRunOptions.AdvertiseAddress = config.port.Addr().(*net.TCPAddr).IP
	o.SecureServing.ServerCert.CertKey.CertFile = config.dir.path(servingCertFile)
	o.SecureServing.ServerCert.CertKey.KeyFile = config.dir.path(servingKeyFile)

	o.Etcd.StorageConfig.Transport.ServerList = []string{config.etcd}
	o.Etcd.EncryptionProviderConfigFilepath = config.dir.path(encryptionFile)

	key := config.dir.path(serviceAccountFile)
	o.ServiceAccountSigningKeyFile = key
	o.Authentication.ServiceAccounts.KeyFiles = []string{key}
	o.Authentication.ServiceAccounts.Issuers = []string{issuer}
	o.Authentication.ServiceAccounts.OptionalTokenGetter = newTokenGetter
	o.Authentication.ClientCert.ClientCA = config.dir.path(caCertFile)
	o.Authentication.Anonymous.Allow = false
	o.Authorization.Modes = []string{modes.ModeRBAC}
	o.Admission.GenericAdmission.DefaultOffPlugins = sets.New(kubeoptions.AllOrderedPlugins...).Difference(admissionPlugins())
	o.Audit.PolicyFile = config.audit.Policy
	o.Audit.LogOptions.Path = config.audit.Log

	o.SystemNamespaces = []string{metav1.NamespaceSystem, metav1.NamespaceDefault}

	// One user on one machine: no queues of requests, and nobody to profile.
	o.Features.EnablePriorityAndFairness = false
	o.Features.EnableProfiling = false
	// Without these, open watches hold a shutdown up for a minute.
	o.GenericServerRunOptions.ShutdownSendRetryAfter = true
	o.GenericServerRunOptions.ShutdownWatchTerminationGracePeriod = time.Second
	return o
}

// admissionPlugins leaves out those that look after pods, nodes and volumes, and the one that counts against quotas:
// it refuses every object of a namespace whose quota no controller has computed.
func admissionPlugins() sets.Set[string] {
	return sets.New(
		lifecycle.PluginName,
		mutatingpolicy.PluginName,
		mutatingwebhook.PluginName,
		validatingpolicy.PluginName,
		validatingwebhook.PluginName,
	)
}

// A serverChain is the configuration of the three servers.
type serverChain struct {
	aggregator *aggregatorapiserver.Config
	builtIn    *apiserver.Config
	custom     *apiextensionsapiserver.Config
}

func newServerChain(opts options.CompletedOptions, kinds []schema.GroupVersion) (serverChain, error) {
	schemes := []*runtime.Scheme{legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme}
	generic, informers, storage, err := apiserver.BuildGenericConfig(opts, schemes, servedResources(), generatedopenapi.GetOpenAPIDefinitions, nil)
	if err != nil {
		return serverChain{}, err
	}
	generic.EffectiveVersion = linkedVersion{generic.EffectiveVersion}
	generic.DisabledPostStartHooks.Insert(
		rbacrest.PostStartHookName,               // see ensureRoles
		"start-legacy-token-tracking-controller", // dates the last use of tokens as they were before Kubernetes 1.24
	)

	client, err := kubernetes.NewForConfig(generic.LoopbackClientConfig)
	if err != nil {
		return serverChain{}, err
	}
	initializers := []admission.PluginInitializer{primer{client: client, kinds: kinds}}
	services := webhook.NewDefaultServiceResolver()
	builtIn, initializers, err := apiserver.CreateConfig(opts, generic, informers, nil, storage, services, initializers)
	if err != nil {
		return serverChain{}, err
	}
	authInfo := webhook.NewDefaultAuthenticationInfoResolverWrapper(builtIn.ProxyTransport, generic.EgressSelector, generic.LoopbackClientConfig, generic.TracerProvider)
	const servers = 1 // more, and a new kind would be served five seconds late
	custom, err := apiserver.CreateAPIExtensionsConfig(*generic, informers, initializers, opts, servers, services, authInfo)
	if err != nil {
		return serverChain{}, err
	}
	aggregator, err := apiserver.CreateAggregatorConfig(*generic, opts, informers, services, builtIn.ProxyTransport, nil, initializers)
	if err != nil {
		return serverChain{}, err
	}
	aggregator.ExtraConfig.DisableRemoteAvailableConditionController = true // no API of the hub is served elsewhere
	return serverChain{aggregator: aggregator, builtIn: builtIn, custom: custom}, nil
}

func (c serverChain) build() (*aggregatorapiserver.APIAggregator, error) {
	builtIn := c.builtIn.Complete()
	notFound := notfoundhandler.New(builtIn.Generic.Serializer, genericfilters.NoMuxAndDiscoveryIncompleteKey)
	customServer, err := c.custom.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(notFound))
	if err != nil {
		return nil, fmt.Errorf("for custom resources: %w", err)
	}
	builtInServer, err := builtIn.New("refit-hub", customServer.GenericAPIServer)
	if err != nil {
		return nil, fmt.Errorf("for built-in resources: %w", err)
	}
	client, err := kubernetes.NewForConfig(builtIn.Generic.LoopbackClientConfig)
	if err != nil {
		return nil, err
	}
	providers, err := builtIn.GenericStorageProviders(client.Discovery())
	if err != nil {
		return nil, fmt.Errorf("for built-in resources: %w", err)
	}
	if err := builtInServer.InstallAPIs(providers...); err != nil {
		return nil, fmt.Errorf("for built-in resources: %w", err)
	}
	crds := customServer.Informers.Apiextensions().V1().CustomResourceDefinitions()
	return apiserver.CreateAggregatorServer(c.aggregator.Complete(), builtInServer.GenericAPIServer, crds, true, apiserver.DefaultGenericAPIServicePriorities())
}
