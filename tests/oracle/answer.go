// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"testing"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
)

// Words for what the simulation calls an error before any route is looked for.
var words = map[error]string{
	simulation.ErrNoListener:          "no_listener",
	simulation.ErrNoFilterChain:       "no_filter_chain",
	simulation.ErrMultipleFilterChain: "multiple_filter_chains",
	simulation.ErrProtocolError:       "protocol_error",
	simulation.ErrTLSError:            "tls_error",
	simulation.ErrMTLSError:           "mtls_error",
}

// answer follows the call through listener and filter chain by Istio's simulation, and from there by Envoy's rules.
func (w *world) answer(call Call) Result {
	var chain *listener.FilterChain
	simulated := w.simulation.Run(simulation.Call{
		Port:     call.Port,
		Protocol: protocol(call),
		TLS:      mode(call),
		Sni:      call.SNI,
		Path:     "/",
		CallMode: simulation.CallModeGateway,
		CustomListenerValidations: []simulation.CustomFilterChainValidation{func(found *listener.FilterChain) error {
			chain = found
			return nil
		}},
	})
	result := Result{Error: "none", Listener: simulated.ListenerMatched}
	for err, word := range words {
		if errors.Is(simulated.Error, err) {
			result.Error = word
			return result
		}
	}
	t := &testing.T{}
	if manager := xdstest.ExtractHTTPConnectionManager(t, chain); manager != nil {
		w.http(call, w.routes(manager, &result), &result)
	} else if proxy := xdstest.ExtractTCPProxy(t, chain); proxy != nil {
		result.Action = "tcp"
		w.streams(proxy, &result)
	} else {
		result.Error = "no_filter_chain"
	}
	return result
}

func protocol(call Call) simulation.Protocol {
	if call.Protocol == "http" || call.Protocol == "https" {
		return simulation.HTTP
	}
	return simulation.TCP
}

func mode(call Call) simulation.TLSMode {
	if call.Protocol == "https" || call.Protocol == "tls" {
		return simulation.TLS
	}
	return simulation.Plaintext
}

func (w *world) routes(manager *hcm.HttpConnectionManager, result *Result) *route.RouteConfiguration {
	if inline := manager.GetRouteConfig(); inline != nil {
		return inline
	}
	result.RouteConfig = manager.GetRds().GetRouteConfigName()
	return xdstest.ExtractRouteConfigurations(w.simulation.Routes)[result.RouteConfig]
}

func (w *world) http(call Call, routes *route.RouteConfiguration, result *Result) {
	host := virtualHost(routes, call.Host)
	if host == nil {
		result.Error = "no_virtual_host"
		return
	}
	result.VirtualHost = host.Name
	if host.RequireTls == route.VirtualHost_ALL && call.Protocol == "http" {
		result.Error = "tls_redirect"
		result.Status = 301
		result.Location = "https://" + call.Host + call.Path
		return
	}
	for _, candidate := range host.Routes {
		if matches(candidate.Match, call) {
			w.facts(call, candidate, result)
			return
		}
	}
	result.Error = "no_route"
}

// streams says where bytes go that are no requests.
func (w *world) streams(proxy *tcp.TcpProxy, result *Result) {
	if single := proxy.GetCluster(); single != "" {
		result.Targets = []Target{w.target(single, 1)}
	}
	for _, cluster := range proxy.GetWeightedClusters().GetClusters() {
		result.Targets = append(result.Targets, w.target(cluster.Name, cluster.Weight))
	}
	if len(result.Targets) != 0 {
		result.Cluster = result.Targets[0].Cluster
	}
}
