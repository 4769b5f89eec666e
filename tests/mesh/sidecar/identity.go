// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// trustDomain is that of every certificate of the mesh.
const trustDomain = "spiffe://cluster.local/"

// identity is the certificate of this workload and the roots of the mesh, read anew for every handshake.
type identity struct {
	folder string
	seen   *seen
	lock   sync.Mutex
	pair   *tls.Certificate
	roots  *x509.CertPool
}

// read is what the files say. If they do not fit together at this moment, it is what they said before.
func (i *identity) read() (*tls.Certificate, *x509.CertPool, error) {
	i.lock.Lock()
	defer i.lock.Unlock()
	pair, err := tls.LoadX509KeyPair(filepath.Join(i.folder, "cert.pem"), filepath.Join(i.folder, "key.pem"))
	text, unread := os.ReadFile(filepath.Join(i.folder, "root.pem"))
	roots := x509.NewCertPool()
	if err == nil && unread == nil && roots.AppendCertsFromPEM(text) {
		i.pair, i.roots = &pair, roots
	}
	if i.pair == nil {
		return nil, nil, errors.Join(err, unread, errors.New("there is no certificate yet"))
	}
	return i.pair, i.roots, nil
}

// own is the SPIFFE id of this workload.
func (i *identity) own() string {
	pair, _, err := i.read()
	if err != nil {
		return ""
	}
	return spiffe(pair.Leaf)
}

// config asks for a certificate of the mesh. As with Envoy, a client none of whose protocols is known gets none, rather
// than an error.
func (i *identity) config(minimum uint16, protocols []string) *tls.Config {
	forClient := func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		pair, roots, err := i.read()
		if err != nil {
			return nil, err
		}
		i.seen.count("alpn", strings.Join(hello.SupportedProtos, ","))
		i.seen.count("sni", hello.ServerName)
		config := &tls.Config{
			MinVersion: minimum, Certificates: []tls.Certificate{*pair}, VerifyConnection: i.admit,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		}
		known := func(protocol string) bool { return slices.Contains(protocols, protocol) }
		if slices.ContainsFunc(hello.SupportedProtos, known) {
			config.NextProtos = protocols
		}
		return config, nil
	}
	return &tls.Config{MinVersion: minimum, GetConfigForClient: forClient}
}

// admit is the last word in a handshake: the certificate is good, but is it one of this mesh?
func (i *identity) admit(state tls.ConnectionState) error {
	peer := spiffe(state.PeerCertificates[0])
	if !strings.HasPrefix(peer, trustDomain) {
		return errors.New("not of this mesh: " + peer)
	}
	i.seen.count("peers", peer)
	i.seen.count("serials", state.PeerCertificates[0].SerialNumber.Text(16))
	return nil
}

// spiffe is the one URI of a certificate.
func spiffe(certificate *x509.Certificate) string {
	if len(certificate.URIs) != 1 {
		return ""
	}
	return certificate.URIs[0].String()
}
