// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"

	"istio.io/istio/pkg/hbone"
)

// passOn is what a sidecar does with HTTP: to the application in the same version, with one more element in
// x-forwarded-client-cert, which says who asks.
func passOn(port string, identity *identity) http.Handler {
	first, second := &http.Transport{}, &http.Transport{Protocols: new(http.Protocols)}
	second.Protocols.SetUnencryptedHTTP2(true)
	proxy := func(transport http.RoundTripper) http.Handler {
		rewrite := func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme, request.Out.URL.Host = "http", "127.0.0.1:"+port
			request.Out.Header["X-Forwarded-Client-Cert"] = certificates(request.In, identity)
		}
		return &httputil.ReverseProxy{Rewrite: rewrite, Transport: transport, FlushInterval: -1}
	}
	http1, http2 := proxy(first), proxy(second)
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		identity.seen.count("requests", request.Proto)
		if request.ProtoMajor == 2 {
			http2.ServeHTTP(writer, request)
		} else {
			http1.ServeHTTP(writer, request)
		}
	})
}

// certificates is x-forwarded-client-cert as Istio's sidecars have it: what came, and the element of this connection.
func certificates(request *http.Request, identity *identity) []string {
	peer := request.TLS.PeerCertificates[0]
	element := fmt.Sprintf(`By=%s;Hash=%x;Subject="";URI=%s`, identity.own(), sha256.Sum256(peer.Raw), spiffe(peer))
	return []string{strings.Join(append(request.Header.Values("X-Forwarded-Client-Cert"), element), ",")}
}

// tunnelServer is Istio's server of HBONE. It would dial whatever is asked for; as ztunnel, it is held to this pod's
// own address, and finds the application on the loopback address.
func tunnelServer(identity *identity) *http.Server {
	server := hbone.NewServer()
	server.Protocols = only(false)
	within := server.Handler
	server.Handler = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		local := request.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		host, port, err := net.SplitHostPort(request.Host)
		identity.seen.count("authorities", request.Host)
		identity.seen.count("tunnels", version(request.TLS))
		identity.seen.count("baggage", request.Header.Get("Baggage"))
		if err != nil || host != local.IP.String() {
			http.Error(writer, "not this pod", http.StatusBadRequest)
			return
		}
		request.Host = net.JoinHostPort("127.0.0.1", port)
		within.ServeHTTP(writer, request)
	})
	return server
}

func version(state *tls.ConnectionState) string { return tls.VersionName(state.Version) }
