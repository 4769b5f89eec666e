// SPDX-License-Identifier: Apache-2.0

// Command sidecar stands where a mesh's own proxy stands in a pod whose policy is STRICT: it lets in only who has a
// certificate of the mesh, says who that was, and passes on to the application on the loopback address. It is of
// Go's and Istio's packages, with nothing of Torana in it.
//
//	--mtls 8080=8081   mutual TLS, HTTP within, as a sidecar; the application is told by x-forwarded-client-cert
//	--hbone 15008      HTTP/2 CONNECT in mutual TLS, as ztunnel, by Istio's own server; bytes are passed as they are
//	--status 15020     what was seen, as JSON at /; in plain text
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"net"
	"net/http"
	"strings"
)

// pairs is a flag that may be given several times.
type pairs []string

func (p *pairs) String() string { return strings.Join(*p, ",") }

func (p *pairs) Set(text string) error {
	*p = append(*p, text)
	return nil
}

// only speaks HTTP/1.1 and HTTP/2 in TLS, or HTTP/2 alone.
func only(http1 bool) *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(http1)
	protocols.SetHTTP2(true)
	return protocols
}

func main() {
	var terminated pairs
	flag.Var(&terminated, "mtls", "PORT=PORT of the application")
	tunnels := flag.String("hbone", "", "port of HBONE")
	status := flag.String("status", "15020", "port that says what was seen")
	folder := flag.String("folder", "/run/mesh", "where cert.pem, key.pem and root.pem are")
	flag.Parse()

	seen := newSeen()
	identity := &identity{folder: *folder, seen: seen}
	ended := make(chan error)
	serve := func(server *http.Server, listener net.Listener) {
		go func() { ended <- server.Serve(listener) }()
	}
	for _, pair := range terminated {
		port, application, found := strings.Cut(pair, "=")
		if !found {
			log.Fatalf("--mtls PORT=PORT, not %s", pair)
		}
		config := identity.config(tls.VersionTLS12, []string{"h2", "http/1.1"})
		server := &http.Server{Handler: passOn(application, identity), Protocols: only(true)}
		serve(server, tls.NewListener(listen(port, seen), config))
	}
	if *tunnels != "" {
		config := identity.config(tls.VersionTLS13, []string{"h2"})
		serve(tunnelServer(identity), tls.NewListener(listen(*tunnels, seen), config))
	}
	server := &http.Server{Handler: seen}
	listener, err := net.Listen("tcp", ":"+*status)
	if err != nil {
		log.Fatal(err)
	}
	serve(server, listener)
	log.Fatal(<-ended)
}
