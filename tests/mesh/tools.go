// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package mesh pins the programs of Istio that the tests of the mesh run, so that go.sum names everything they are made of.
package mesh

import (
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
	_ "istio.io/istio/pkg/test/echo/cmd/client"
	_ "istio.io/istio/pkg/test/echo/cmd/server"
	_ "istio.io/istio/samples/extauthz/cmd/extauthz"
)
