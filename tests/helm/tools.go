// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package helm names the tool, so that go.mod keeps it.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
