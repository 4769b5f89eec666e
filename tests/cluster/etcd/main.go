// SPDX-License-Identifier: Apache-2.0

// Command etcd is the store of the test clusters, in the version that the API server is built against. Packages of
// distributions are older, and cannot say how far a watch has come: with them the API server streams no lists.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
