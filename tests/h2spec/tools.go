// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package h2spec names the tool, so that go.mod keeps it.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
