// Kueue's queues, scheduler and controllers of jobs (batch/v1) as one process with a kubeconfig.
//
// The published manager wants certificates, since it serves admission webhooks; here there are
// none: a job is made suspended by whoever makes it.
package main

import (
	"context"
	"flag"
	"net/http"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configapi "sigs.k8s.io/kueue/apis/config/v1beta1"
	kueuealpha "sigs.k8s.io/kueue/apis/kueue/v1alpha1"
	kueueapi "sigs.k8s.io/kueue/apis/kueue/v1beta1"
	queues "sigs.k8s.io/kueue/pkg/cache/queue"
	caches "sigs.k8s.io/kueue/pkg/cache/scheduler"
	"sigs.k8s.io/kueue/pkg/config"
	"sigs.k8s.io/kueue/pkg/controller/core"
	"sigs.k8s.io/kueue/pkg/controller/core/indexer"
	"sigs.k8s.io/kueue/pkg/controller/jobframework"
	_ "sigs.k8s.io/kueue/pkg/controller/jobs/job" // registers itself
	"sigs.k8s.io/kueue/pkg/controller/tas"
	tasindexer "sigs.k8s.io/kueue/pkg/controller/tas/indexer"
	"sigs.k8s.io/kueue/pkg/scheduler"
	"sigs.k8s.io/kueue/pkg/util/kubeversion"
)

var log = ctrl.Log.WithName("kueue")

// absent takes the place of the server of admission webhooks: it serves nothing.
type absent struct{}

func (absent) NeedLeaderElection() bool      { return false }
func (absent) Register(string, http.Handler) {}
func (absent) WebhookMux() *http.ServeMux    { return nil }

func (absent) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (absent) StartedChecker() healthz.Checker {
	return func(*http.Request) error { return nil }
}

func main() {
	file := flag.String("config", "", "Kueue's Configuration (config.kueue.x-k8s.io/v1beta1)")
	flag.Parse() // --kubeconfig is controller-runtime's
	ctrl.SetLogger(zap.New())
	must(run(ctrl.SetupSignalHandler(), *file), "kueue has failed")
}

func run(ctx context.Context, file string) error {
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, kueueapi.AddToScheme, kueuealpha.AddToScheme, configapi.AddToScheme,
	} {
		utilruntime.Must(add(kinds))
	}
	options, cfg, err := config.Load(kinds, file)
	if err != nil {
		return err
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(cfg.FeatureGates); err != nil {
		return err
	}
	options.WebhookServer = absent{}
	options.Metrics = metricsserver.Options{BindAddress: "0"}
	options.HealthProbeBindAddress = "0"
	options.LeaderElection = false

	client := ctrl.GetConfigOrDie()
	client.QPS = -1 // the API server is on this machine
	manager, err := ctrl.NewManager(client, options)
	if err != nil {
		return err
	}
	asked, err := discovery.NewDiscoveryClientForConfig(client)
	if err != nil {
		return err
	}
	version := kubeversion.NewServerVersionFetcher(asked)
	if err := version.FetchServerVersion(); err != nil {
		return err
	}

	frameworks := jobframework.WithEnabledFrameworks(cfg.Integrations.Frameworks)
	fields := manager.GetFieldIndexer()
	if err := indexer.Setup(ctx, fields); err != nil {
		return err
	}
	if err := tasindexer.SetupIndexes(ctx, fields); err != nil {
		return err
	}
	if err := jobframework.SetupIndexes(ctx, fields, frameworks); err != nil {
		return err
	}

	known := caches.New(manager.GetClient())
	waiting := queues.NewManager(manager.GetClient(), known)
	if name, err := core.SetupControllers(manager, waiting, known, &cfg); err != nil {
		log.Error(err, "no controller", "controller", name)
		return err
	}
	if name, err := tas.SetupControllers(manager, waiting, known, &cfg); err != nil {
		log.Error(err, "no controller", "controller", name)
		return err
	}
	if err := jobframework.SetupControllers(ctx, manager, log,
		frameworks,
		jobframework.WithKubeServerVersion(version),
		jobframework.WithManagerName("kueue"),
		jobframework.WithCache(known),
		jobframework.WithQueues(waiting),
	); err != nil {
		return err
	}
	recorder := manager.GetEventRecorderFor("kueue-admission")
	if err := manager.Add(scheduler.New(waiting, known, manager.GetClient(), recorder)); err != nil {
		return err
	}
	go waiting.CleanUpOnContext(ctx)
	go known.CleanUpOnContext(ctx)
	return manager.Start(ctx)
}

func must(err error, what string) {
	if err != nil {
		log.Error(err, what)
		os.Exit(1)
	}
}
