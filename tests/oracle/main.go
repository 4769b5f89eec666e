// SPDX-License-Identifier: Apache-2.0

// Command istio-oracle says what Istio makes of configurations: one JSON object a line in, one a line out, in order.
//
// Istio's own packages build listeners, routes and clusters of a gateway, and its simulation finds listener and filter
// chain of a call. Which route of them Envoy takes, and what comes of it, is evaluated here by Envoy's documentation.
// It reads nothing but standard input, and opens no port.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"istio.io/istio/pkg/log"
)

// Longest line of the input.
const lineLimit = 64 << 20

func main() {
	// A scenario makes much that is soon garbage.
	debug.SetGCPercent(400)
	out := os.Stdout
	// Whatever Istio prints is no answer.
	os.Stdout = os.Stderr
	if err := quiet(); err != nil {
		fail(err)
	}
	if err := serve(os.Stdin, out); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "istio-oracle:", err)
	os.Exit(1)
}

// quiet turns Istio's log off, unless ISTIO_ORACLE_LOG asks for it.
func quiet() error {
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	if os.Getenv("ISTIO_ORACLE_LOG") == "" {
		options.SetDefaultOutputLevel(log.OverrideScopeName, log.NoneLevel)
	}
	return log.Configure(options)
}

func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, lineLimit)
	for lines.Scan() {
		scenario := Scenario{}
		if err := json.Unmarshal(lines.Bytes(), &scenario); err != nil {
			return fmt.Errorf("not a scenario: %w", err)
		}
		answer, err := json.Marshal(evaluate(scenario))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(answer, '\n')); err != nil {
			return err
		}
	}
	return lines.Err()
}
