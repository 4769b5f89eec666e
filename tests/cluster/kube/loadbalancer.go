// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// loadBalancer stands in for a cloud: it gives every Service of type LoadBalancer an address of a range by writing its
// status, and kube-proxy carries that address to the pods. spec.loadBalancerIP is honoured inside the range and never
// fulfilled outside of it, as a cloud does with an address that is not the user's.
func loadBalancer() *cobra.Command {
	var kubeconfig, addresses string
	command := &cobra.Command{
		Use: "load-balancer",
		RunE: func(command *cobra.Command, _ []string) error {
			prefix, err := netip.ParsePrefix(addresses)
			if err != nil {
				return fmt.Errorf("--addresses: %w", err)
			}
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return newBalancer(client, prefix).run(command.Context())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&addresses, "addresses", "", "the range to give addresses of, as CIDR")
	return command
}

type balancer struct {
	client kubernetes.Interface
	prefix netip.Prefix
	mutex  sync.Mutex
	owners map[netip.Addr]string // namespace/name of the Service
}

func newBalancer(client kubernetes.Interface, prefix netip.Prefix) *balancer {
	return &balancer{client: client, prefix: prefix.Masked(), owners: map[netip.Addr]string{}}
}

func (b *balancer) run(context context.Context) error {
	factory := informers.NewSharedInformerFactory(b.client, 30*time.Second)
	_, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { b.serve(context, object.(*core.Service)) },
		UpdateFunc: func(_, object any) { b.serve(context, object.(*core.Service)) },
		DeleteFunc: func(object any) {
			if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				b.release(name)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(context.Done())
	<-context.Done()
	return nil
}

func (b *balancer) serve(context context.Context, service *core.Service) {
	name := service.Namespace + "/" + service.Name
	if service.Spec.Type != core.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil {
		b.release(name)
		return
	}
	address, given := b.choose(name, service)
	if !given || len(service.Status.LoadBalancer.Ingress) == 1 && service.Status.LoadBalancer.Ingress[0].IP == address.String() {
		return
	}
	mode := core.LoadBalancerIPModeVIP
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}
	// What fails here comes again with the next resynchronisation.
	if _, err := b.client.CoreV1().Services(service.Namespace).UpdateStatus(context, changed, meta.UpdateOptions{}); err != nil {
		klog.InfoS("not written", "service", name, "address", address, "error", err)
	}
}

// choose keeps what the Service has, else gives what it asks for, else the lowest address that is free.
func (b *balancer) choose(name string, service *core.Service) (netip.Addr, bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	free := func(address netip.Addr) bool {
		owner, taken := b.owners[address]
		return b.prefix.Contains(address) && (!taken || owner == name)
	}
	wanted := service.Spec.LoadBalancerIP
	if wanted == "" && len(service.Status.LoadBalancer.Ingress) > 0 {
		wanted = service.Status.LoadBalancer.Ingress[0].IP
	}
	if wanted != "" {
		address, err := netip.ParseAddr(wanted)
		if err == nil && free(address) {
			b.owners[address] = name
			return address, true
		}
		if service.Spec.LoadBalancerIP != "" {
			return netip.Addr{}, false
		}
	}
	for address := b.prefix.Addr().Next(); b.prefix.Contains(address); address = address.Next() {
		if free(address) {
			b.owners[address] = name
			return address, true
		}
	}
	return netip.Addr{}, false
}

func (b *balancer) release(name string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for address, owner := range b.owners {
		if owner == name {
			delete(b.owners, address)
		}
	}
}
