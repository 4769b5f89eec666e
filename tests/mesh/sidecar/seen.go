// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"sync"
)

// seen counts, of several things (connections, peers, …), how often each value was seen.
type seen struct {
	lock   sync.Mutex
	counts map[string]map[string]int
}

func newSeen() *seen { return &seen{counts: map[string]map[string]int{}} }

func (s *seen) count(what, value string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.counts[what] == nil {
		s.counts[what] = map[string]int{}
	}
	s.counts[what][value]++
}

// ServeHTTP says all of it.
func (s *seen) ServeHTTP(writer http.ResponseWriter, _ *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	writer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(writer).Encode(s.counts)
}
