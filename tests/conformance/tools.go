// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins what is built from here: the suite, and the backend of its manifests.
package tools

import (
	_ "sigs.k8s.io/gateway-api-conformance-images/echo-basic"
	_ "sigs.k8s.io/gateway-api/conformance"
	_ "sigs.k8s.io/gateway-api/pkg/features"
)
