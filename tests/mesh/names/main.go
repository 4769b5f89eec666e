// SPDX-License-Identifier: Apache-2.0

// Command names answers for NAME.NAMESPACE.svc.cluster.local with the address of that Service, in UDP, as the DNS of a
// cluster does: the test cluster has none, and istiod is called by name. A Service without an address has none here.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
)

const suffix = "svc.cluster.local."

// address of a Service, and whether there is such a Service.
func address(services listers.ServiceLister, name string) (net.IP, bool) {
	labels := strings.Split(strings.ToLower(name), ".")
	if len(labels) != 6 || strings.Join(labels[2:], ".") != suffix {
		return nil, false
	}
	service, err := services.Services(labels[1]).Get(labels[0])
	if err != nil {
		return nil, false
	}
	return net.ParseIP(service.Spec.ClusterIP), true
}

func answer(services listers.ServiceLister) dns.HandlerFunc {
	return func(writer dns.ResponseWriter, request *dns.Msg) {
		reply := new(dns.Msg).SetReply(request)
		reply.Authoritative = true
		question := request.Question[0]
		ip, found := address(services, question.Name)
		if !found {
			reply.Rcode = dns.RcodeNameError
		} else if ip != nil && question.Qtype == dns.TypeA {
			header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}
			reply.Answer = []dns.RR{&dns.A{Hdr: header, A: ip}}
		}
		_ = writer.WriteMsg(reply)
	}
}

func main() {
	listen := flag.String("listen", ":53", "where")
	flag.Parse()
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, time.Hour)
	services := factory.Core().V1().Services()
	lister := services.Lister()
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	server := &dns.Server{Addr: *listen, Net: "udp", Handler: answer(lister)}
	log.Fatal(server.ListenAndServe())
}
