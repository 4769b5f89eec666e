// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package pebble names the programs, so that go.mod keeps them.
package pebble

import (
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble"
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"
)
