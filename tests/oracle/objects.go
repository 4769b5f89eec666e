// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
)

// As the clusters that Istio runs in call themselves.
const domain = "cluster.local"

// objects reads YAML documents. Those that Istio cannot read, or that its webhook would refuse, are named with the
// reason instead.
func objects(text string) (accepted []config.Config, rejected []string, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := crd.IstioKind{}
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return accepted, rejected, nil
		} else if err != nil {
			return nil, nil, fmt.Errorf("not YAML: %w", err)
		}
		if object.Kind == "" {
			continue
		}
		found, err := admit(object)
		if err != nil {
			why := strings.Join(strings.Fields(err.Error()), " ")
			rejected = append(rejected, fmt.Sprintf("%s/%s/%s: %s", object.Kind, namespace(object), object.Name, why))
			continue
		}
		accepted = append(accepted, *found)
	}
}

func namespace(object crd.IstioKind) string {
	if object.Namespace == "" {
		return "default"
	}
	return object.Namespace
}

// admit does what API server and webhook do.
func admit(object crd.IstioKind) (*config.Config, error) {
	kind := object.GroupVersionKind()
	schema, known := collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&kind))
	if !known {
		return nil, fmt.Errorf("no kind of Istio")
	}
	object.Namespace = namespace(object)
	found, err := crd.ConvertObject(schema, &object, domain)
	if err != nil {
		return nil, err
	}
	_, err = schema.ValidateConfig(*found)
	return found, err
}
