// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	xdstype "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/wellknown"
)

// facts writes down what the route does with the call.
func (w *world) facts(call Call, found *route.Route, result *Result) {
	result.Route = found.Name
	result.Action = "none"
	result.Request = headers(found.RequestHeadersToAdd, found.RequestHeadersToRemove)
	result.Response = headers(found.ResponseHeadersToAdd, found.ResponseHeadersToRemove)
	switch action := found.Action.(type) {
	case *route.Route_Route:
		result.Action = "route"
		w.forward(call, found.Match, action.Route, result)
	case *route.Route_Redirect:
		result.Action = "redirect"
		result.Status = redirectStatus[action.Redirect.ResponseCode]
		result.Location = location(call, found.Match, action.Redirect)
	case *route.Route_DirectResponse:
		result.Action = "direct_response"
		result.Status = action.DirectResponse.Status
		body := action.DirectResponse.GetBody()
		result.Body = body.GetInlineString() + string(body.GetInlineBytes())
	}
	result.Cors = corsOf(found)
	result.Fault = faultOf(found)
}

func (w *world) target(cluster string, weight uint32) Target {
	target := Target{Cluster: cluster, Weight: weight, Known: w.clusters.Contains(cluster)}
	if model.IsValidSubsetKey(cluster) {
		_, subset, host, port := model.ParseSubsetKey(cluster)
		target.Host, target.Port, target.Subset = string(host), port, subset
	}
	return target
}

func (w *world) forward(call Call, match *route.RouteMatch, action *route.RouteAction, result *Result) {
	if single := action.GetCluster(); single != "" {
		result.Targets = []Target{w.target(single, 1)}
	}
	result.Weighted = action.GetWeightedClusters() != nil
	for _, cluster := range action.GetWeightedClusters().GetClusters() {
		target := w.target(cluster.Name, cluster.Weight.GetValue())
		// Envoy applies the route's own after it.
		if action.GetHostRewriteLiteral() == "" {
			target.Authority = cluster.GetHostRewriteLiteral()
		}
		target.Request = headers(cluster.RequestHeadersToAdd, cluster.RequestHeadersToRemove)
		target.Response = headers(cluster.ResponseHeadersToAdd, cluster.ResponseHeadersToRemove)
		result.Targets = append(result.Targets, target)
	}
	if len(result.Targets) != 0 {
		result.Cluster = result.Targets[0].Cluster
	}
	forward := &Forward{
		Path:          rewritten(call.Path, match, action.PrefixRewrite, action.RegexRewrite),
		Authority:     call.Host,
		PrefixRewrite: action.PrefixRewrite,
		RegexRewrite:  action.GetRegexRewrite().GetPattern().GetRegex(),
		Substitution:  action.GetRegexRewrite().GetSubstitution(),
		HostRewrite:   action.GetHostRewriteLiteral(),
		Timeout:       action.GetTimeout().AsDuration().Milliseconds(),
		Retries:       retries(action.RetryPolicy),
	}
	if forward.HostRewrite != "" {
		forward.Authority = forward.HostRewrite
	}
	for _, policy := range action.HashPolicy {
		forward.Hash = append(forward.Hash, hash(policy))
	}
	for _, policy := range action.RequestMirrorPolicies {
		share := percent(policy.GetRuntimeFraction().GetDefaultValue())
		result.Mirrors = append(result.Mirrors, Mirror{Target: w.target(policy.Cluster, 1), Percent: share})
	}
	result.Forward = forward
}

func retries(policy *route.RetryPolicy) *Retries {
	if policy == nil {
		return nil
	}
	return &Retries{
		Count:           policy.GetNumRetries().GetValue(),
		On:              strings.Split(policy.RetryOn, ","),
		Statuses:        policy.RetriableStatusCodes,
		PerTry:          policy.GetPerTryTimeout().AsDuration().Milliseconds(),
		Backoff:         policy.GetRetryBackOff().GetBaseInterval().AsDuration().Milliseconds(),
		OtherHosts:      len(policy.RetryHostPredicate) != 0,
		OtherLocalities: policy.RetryPriority != nil,
	}
}

func hash(policy *route.RouteAction_HashPolicy) string {
	switch specifier := policy.PolicySpecifier.(type) {
	case *route.RouteAction_HashPolicy_Header_:
		return "header " + specifier.Header.HeaderName
	case *route.RouteAction_HashPolicy_Cookie_:
		return "cookie " + specifier.Cookie.Name
	case *route.RouteAction_HashPolicy_QueryParameter_:
		return "query " + specifier.QueryParameter.Name
	case *route.RouteAction_HashPolicy_ConnectionProperties_:
		return "source_ip"
	}
	return fmt.Sprintf("%T", policy.PolicySpecifier)
}

func headers(added []*core.HeaderValueOption, removed []string) *Headers {
	if len(added) == 0 && len(removed) == 0 {
		return nil
	}
	found := &Headers{Remove: removed}
	for _, option := range added {
		pair := [2]string{option.GetHeader().GetKey(), option.GetHeader().GetValue()}
		if option.AppendAction == core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			found.Set = append(found.Set, pair)
		} else {
			found.Add = append(found.Add, pair)
		}
	}
	return found
}

func percent(fraction *xdstype.FractionalPercent) float64 {
	parts := map[xdstype.FractionalPercent_DenominatorType]float64{
		xdstype.FractionalPercent_HUNDRED:      1,
		xdstype.FractionalPercent_TEN_THOUSAND: 100,
		xdstype.FractionalPercent_MILLION:      10_000,
	}
	return float64(fraction.GetNumerator()) / parts[fraction.GetDenominator()]
}

func corsOf(found *route.Route) *Cors {
	policy := &cors.CorsPolicy{}
	packed := found.TypedPerFilterConfig[wellknown.CORS]
	if packed == nil || packed.UnmarshalTo(policy) != nil {
		return nil
	}
	facts := &Cors{
		Methods:          policy.AllowMethods,
		Headers:          policy.AllowHeaders,
		Expose:           policy.ExposeHeaders,
		MaxAge:           policy.MaxAge,
		Credentials:      policy.GetAllowCredentials().GetValue(),
		ForwardUnmatched: policy.GetForwardNotMatchingPreflights().GetValue(),
	}
	for _, origin := range policy.AllowOriginStringMatch {
		facts.Origins = append(facts.Origins, pattern(origin))
	}
	return facts
}

func pattern(match *matcher.StringMatcher) string {
	switch form := match.MatchPattern.(type) {
	case *matcher.StringMatcher_Exact:
		return "exact " + form.Exact
	case *matcher.StringMatcher_Prefix:
		return "prefix " + form.Prefix
	case *matcher.StringMatcher_SafeRegex:
		return "regex " + form.SafeRegex.Regex
	}
	return ""
}

func faultOf(found *route.Route) *Fault {
	injected := &fault.HTTPFault{}
	packed := found.TypedPerFilterConfig[wellknown.Fault]
	if packed == nil || packed.UnmarshalTo(injected) != nil {
		return nil
	}
	facts := &Fault{}
	if delay := injected.Delay; delay != nil {
		facts.Delay = delay.GetFixedDelay().AsDuration().Milliseconds()
		facts.DelayPercent = percent(delay.Percentage)
	}
	if abort := injected.Abort; abort != nil {
		facts.Abort = abort.GetHttpStatus()
		if _, grpc := abort.ErrorType.(*fault.FaultAbort_GrpcStatus); grpc {
			status := abort.GetGrpcStatus()
			facts.AbortGrpc = &status
		}
		facts.AbortPercent = percent(abort.Percentage)
	}
	return facts
}
