package temporal

import (
	"fmt"
	"net"
	"strconv"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

const (
	host      = "127.0.0.1"
	namespace = "default"
	cell      = "active" // the one cluster
)

// serve starts a Temporal in this process: its four services, over an SQLite in memory. Completions
// of Nexus operations go to the address named. It tells where its gRPC is.
func serve(http string) (temporal.Server, string, error) {
	_, text, err := net.SplitHostPort(http)
	if err != nil {
		return nil, "", err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, "", err
	}
	services, hosts, err := services(port)
	if err != nil {
		return nil, "", err
	}
	grpc := hosts[primitives.FrontendService].Self
	store, err := store()
	if err != nil {
		return nil, "", err
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(settings(services, grpc, store)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log.NewNoopLogger()),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{
			// Where handlers outside of Temporal say how their operations ended.
			dynamicconfig.MakeKey("component.nexusoperations.callback.endpoint.template")://
			"http://" + http + "/namespaces/{{.NamespaceName}}/nexus/callback",
			// Whom Temporal tells how operations of its own handlers ended.
			dynamicconfig.MakeKey("component.callbacks.allowedAddresses")://
			[]any{map[string]any{"Pattern": host + ":*", "AllowInsecure": true}},
		}),
	)
	if err != nil {
		return nil, "", err
	}
	return server, grpc, server.Start()
}

// services gives each service a free port, and the frontend the one for HTTP.
func services(http int) (map[string]config.Service, map[primitives.ServiceName]static.Hosts, error) {
	services := map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range []primitives.ServiceName{
		primitives.FrontendService, primitives.HistoryService,
		primitives.MatchingService, primitives.WorkerService,
	} {
		// Held until all have one, so that they differ.
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = listener.Close() }()
		address := listener.Addr().(*net.TCPAddr)
		rpc := config.RPC{GRPCPort: address.Port, BindOnIP: host}
		if name == primitives.FrontendService {
			rpc.HTTPPort = http
		}
		services[string(name)] = config.Service{RPC: rpc}
		hosts[name] = static.SingleLocalHost(address.String())
	}
	return services, hosts, nil
}

// store makes the database, with the namespace in it.
func store() (*config.SQL, error) {
	store := &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      "temporal",
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
	space, err := sqlite.NewNamespaceConfig(cell, namespace, false, nil)
	if err != nil {
		return nil, err
	}
	if err := sqlite.CreateNamespaces(store, space); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	return store, nil
}

func settings(services map[string]config.Service, grpc string, store *config.SQL) *config.Config {
	return &config.Config{
		Services:     services,
		PublicClient: config.PublicClient{HostPort: grpc},
		Persistence: config.Persistence{
			DefaultStore:     store.PluginName,
			VisibilityStore:  store.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{store.PluginName: {SQL: store}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        cell,
			CurrentClusterName:       cell,
			ClusterInformation: map[string]cluster.ClusterInformation{
				cell: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: grpc},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
}
