// SPDX-License-Identifier: Apache-2.0

package main

// Scenario is a configuration, and calls to a gateway that has it.
type Scenario struct {
	ID int64 `json:"id"`
	// Objects of Istio, YAML documents. What Istio's webhook would refuse is left out, and named in the answer.
	Config string `json:"config"`
	// Objects of Kubernetes: Services, EndpointSlices, Namespaces. YAML documents.
	Kubernetes string `json:"kubernetes"`
	Proxy      Proxy  `json:"proxy"`
	Calls      []Call `json:"calls"`
}

// Proxy is the pod of the gateway.
type Proxy struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

// Call is one request, or for tls and tcp one connection.
type Call struct {
	Port int `json:"port"`
	// http, https, tls, tcp
	Protocol string `json:"protocol"`
	// Empty: the client sends none.
	SNI string `json:"sni"`
	// As the request has it, with its port if it has one.
	Host   string `json:"host"`
	Method string `json:"method"`
	// With its query.
	Path    string              `json:"path"`
	Headers map[string][]string `json:"headers"`
}

// Answer is what Istio makes of a scenario.
type Answer struct {
	ID int64 `json:"id"`
	// Why nothing could be evaluated at all; a fault of the scenario or of this program.
	Failure  string   `json:"failure,omitempty"`
	Rejected []string `json:"rejected,omitempty"`
	// One for each call.
	Results []Result `json:"results"`
}

// Result is what becomes of one call. Lists and maps that are empty are left out.
type Result struct {
	// none, no_listener, no_filter_chain, multiple_filter_chains, protocol_error, tls_error, mtls_error,
	// no_virtual_host, no_route, tls_redirect
	Error       string `json:"error"`
	Listener    string `json:"listener,omitempty"`
	RouteConfig string `json:"route_config,omitempty"`
	VirtualHost string `json:"vhost,omitempty"`
	Route       string `json:"route,omitempty"`
	// route, redirect, direct_response, tcp; none: a route that Istio could not give an action.
	Action string `json:"action,omitempty"`
	// Of the first target.
	Cluster string   `json:"cluster,omitempty"`
	Targets []Target `json:"targets,omitempty"`
	// Whether several were written: then each has headers of its own, also the only one with a weight.
	Weighted bool `json:"weighted,omitempty"`
	Forward *Forward `json:"forward,omitempty"`
	// Where a redirect, also tls_redirect, leads.
	Location string   `json:"location,omitempty"`
	Status   uint32   `json:"status,omitempty"`
	Body     string   `json:"body,omitempty"`
	Cors     *Cors    `json:"cors,omitempty"`
	Fault    *Fault   `json:"fault,omitempty"`
	Mirrors  []Mirror `json:"mirrors,omitempty"`
	Request  *Headers `json:"request_headers,omitempty"`
	Response *Headers `json:"response_headers,omitempty"`
}

// Target is a cluster with its share.
type Target struct {
	Cluster string `json:"cluster"`
	Host    string `json:"host"`
	Port    int    `json:"port"`
	Subset  string `json:"subset,omitempty"`
	Weight  uint32 `json:"weight"`
	// Whether Istio sends this cluster. Requests to one that it does not are answered with 503.
	Known bool `json:"known"`
	// Host that this target alone is given; the route has none then.
	Authority string   `json:"authority,omitempty"`
	Request   *Headers `json:"request_headers,omitempty"`
	Response  *Headers `json:"response_headers,omitempty"`
}

// Forward is how a request goes on.
type Forward struct {
	// Path and query that the upstream sees.
	Path string `json:"path"`
	// Authority that the upstream sees.
	Authority string `json:"authority"`
	// What the route says, as it says it.
	PrefixRewrite string `json:"prefix_rewrite,omitempty"`
	RegexRewrite  string `json:"regex_rewrite,omitempty"`
	Substitution  string `json:"substitution,omitempty"`
	HostRewrite   string `json:"host_rewrite,omitempty"`
	// Milliseconds, 0: none.
	Timeout int64    `json:"timeout_ms"`
	Retries *Retries `json:"retries,omitempty"`
	// Kinds of hash policies: header NAME, cookie NAME, query NAME, source_ip.
	Hash []string `json:"hash,omitempty"`
}

// Retries as the route has them. Durations in milliseconds, 0: unset.
type Retries struct {
	Count           uint32   `json:"count"`
	On              []string `json:"on"`
	Statuses        []uint32 `json:"statuses,omitempty"`
	PerTry          int64    `json:"per_try_ms"`
	Backoff         int64    `json:"backoff_ms"`
	OtherHosts      bool     `json:"other_hosts"`
	OtherLocalities bool     `json:"other_localities"`
}

// Headers are the operations of one place.
type Headers struct {
	Set    [][2]string `json:"set,omitempty"`
	Add    [][2]string `json:"add,omitempty"`
	Remove []string    `json:"remove,omitempty"`
}

// Mirror is where copies go.
type Mirror struct {
	Target  Target  `json:"target"`
	Percent float64 `json:"percent"`
}

// Fault that is injected; percentages of 100.
type Fault struct {
	Delay        int64   `json:"delay_ms,omitempty"`
	DelayPercent float64 `json:"delay_percent,omitempty"`
	Abort        uint32  `json:"abort_status,omitempty"`
	AbortGrpc    *uint32 `json:"abort_grpc,omitempty"`
	AbortPercent float64 `json:"abort_percent,omitempty"`
}

// Cors of a route. Origins read `exact X`, `prefix X`, `regex X`.
type Cors struct {
	Origins          []string `json:"origins,omitempty"`
	Methods          string   `json:"methods,omitempty"`
	Headers          string   `json:"headers,omitempty"`
	Expose           string   `json:"expose,omitempty"`
	MaxAge           string   `json:"max_age,omitempty"`
	Credentials      bool     `json:"credentials,omitempty"`
	ForwardUnmatched bool     `json:"forward_unmatched"`
}
