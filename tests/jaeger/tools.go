// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package jaeger names the program, so that go.mod keeps it.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
