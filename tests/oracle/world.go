// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/sets"
)

// What Istio programs the gateway with.
type world struct {
	simulation *simulation.Simulation
	// Names of all clusters.
	clusters sets.String
}

// evaluate never panics: what goes wrong inside is the answer's failure.
func evaluate(scenario Scenario) Answer {
	answer := Answer{ID: scenario.ID, Results: []Result{}}
	configs, rejected, err := objects(scenario.Config)
	if err != nil {
		answer.Failure = err.Error()
		return answer
	}
	answer.Rejected = rejected
	// It would keep the collections of every scenario.
	krt.GlobalDebugHandler = new(krt.DebugHandler)
	err = test.Wrap(func(t test.Failer) {
		defer func() {
			if cause := recover(); cause != nil {
				answer.Failure = fmt.Sprint("panic: ", cause)
			}
		}()
		options := xds.FakeOptions{Configs: configs, KubernetesObjectString: scenario.Kubernetes}
		gateway := build(xds.NewFakeDiscoveryServer(t, options), scenario.Proxy)
		for _, call := range scenario.Calls {
			answer.Results = append(answer.Results, gateway.answer(call))
		}
	})
	if err != nil && answer.Failure == "" {
		answer.Failure = err.Error()
	}
	return answer
}

func build(server *xds.FakeDiscoveryServer, pod Proxy) world {
	proxy := server.SetupProxy(&model.Proxy{
		Type:            model.Router,
		ConfigNamespace: pod.Namespace,
		Labels:          pod.Labels,
		Metadata:        &model.NodeMetadata{Namespace: pod.Namespace, Labels: pod.Labels},
	})
	// The simulation wants a test for what cannot happen here: messages that do not decode.
	found := world{simulation: simulation.NewSimulation(&testing.T{}, server, proxy), clusters: sets.New[string]()}
	for _, cluster := range found.simulation.Clusters {
		found.clusters.Insert(cluster.Name)
	}
	return found
}
