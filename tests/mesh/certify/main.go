// SPDX-License-Identifier: Apache-2.0

// Command certify keeps a workload's certificate in a folder: cert.pem, key.pem and root.pem, asked of istiod's CA by
// Istio's own client with the pod's token, anew at half of what is left of its life. A command after -- is started once
// the files are there, and never again: who serves with them reads them anew.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"istio.io/istio/pkg/security"
	"istio.io/istio/security/pkg/credentialfetcher/plugin"
	"istio.io/istio/security/pkg/nodeagent/caclient/providers/citadel"
	"istio.io/istio/security/pkg/pki/util"
)

var (
	folder   = flag.String("folder", "/run/mesh", "where the files are kept")
	address  = flag.String("ca", "istiod.istio-system.svc:15012", "where istiod's CA is")
	name     = flag.String("ca-name", "istiod.istio-system.svc", "what its certificate must say")
	roots    = flag.String("ca-roots", "/var/run/secrets/istio/root-cert.pem", "who signs it")
	token    = flag.String("token", "/var/run/secrets/tokens/istio-token", "who asks")
	cluster  = flag.String("cluster", "Kubernetes", "of which cluster")
	lifetime = flag.Duration("lifetime", 0, "how long the certificate lives; 0: as istiod has it")
	once     = flag.Bool("once", false, "end when the files are there")
)

// authority is a client of istiod's CA.
func authority() (*citadel.CitadelClient, error) {
	options := &security.Options{
		CAEndpoint: *address, CAEndpointSAN: *name, ClusterID: *cluster, CredFetcher: plugin.CreateTokenPlugin(*token),
	}
	return citadel.NewCitadelClient(options, &citadel.TLSOptions{RootCert: *roots})
}

// ask writes new files; it says when the certificate ends.
func ask() (time.Time, error) {
	client, err := authority()
	if err != nil {
		return time.Time{}, err
	}
	defer client.Close()
	request, key, err := util.GenCSR(util.CertOptions{ECSigAlg: util.EcdsaSigAlg, PKCS8Key: true})
	if err != nil {
		return time.Time{}, err
	}
	chain, err := client.CSRSign(request, int64(lifetime.Seconds()))
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode([]byte(chain[0]))
	if block == nil {
		return time.Time{}, errors.New("the answer is no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	last := len(chain) - 1
	// Who reads between two of these sees a key that does not fit, and stays with what it has.
	for file, text := range map[string]string{
		"root.pem": chain[last], "key.pem": string(key), "cert.pem": strings.Join(chain[:last], ""),
	} {
		if err := replace(filepath.Join(*folder, file), text); err != nil {
			return time.Time{}, err
		}
	}
	log.Printf("%v, serial number %v, until %v", leaf.URIs, leaf.SerialNumber, leaf.NotAfter)
	return leaf.NotAfter, nil
}

// replace never shows a half of a file.
func replace(file, text string) error {
	if err := os.WriteFile(file+".part", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// untilAsked asks until there is an answer.
func untilAsked() time.Time {
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 30*time.Second) {
		end, err := ask()
		if err == nil {
			return end
		}
		log.Printf("no certificate, asked again in %v: %v", pause, err)
		time.Sleep(pause)
	}
}

// run starts the command and gives it the signals that come; the exit code is the command's.
func run(command []string) {
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		log.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for it := range signals {
			_ = child.Process.Signal(it)
		}
	}()
	go func() {
		err := child.Wait()
		log.Printf("%s has ended: %v", command[0], err)
		os.Exit(child.ProcessState.ExitCode())
	}()
}

func main() {
	flag.Parse()
	if err := os.MkdirAll(*folder, 0o700); err != nil {
		log.Fatal(fmt.Errorf("no folder: %w", err))
	}
	end := untilAsked()
	if *once {
		return
	}
	if flag.NArg() > 0 {
		run(flag.Args())
	}
	for {
		// Not of its whole life: istiod's certificates begin two minutes before they are made.
		time.Sleep(max(time.Until(end)/2, time.Second))
		end = untilAsked()
	}
}
