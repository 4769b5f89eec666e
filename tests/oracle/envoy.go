// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"regexp"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// virtualHost is the one whose domain matches best: exactly, then the longest `*.suffix`, then the longest `prefix*`,
// then `*`. Case does not matter; the port neither, if the configuration says so.
func virtualHost(routes *route.RouteConfiguration, authority string) *route.VirtualHost {
	host := strings.ToLower(authority)
	if routes.GetIgnorePortInHostMatching() {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	var best *route.VirtualHost
	rank := -1
	for _, candidate := range routes.GetVirtualHosts() {
		for _, domain := range candidate.Domains {
			if found := domainRank(strings.ToLower(domain), host); found > rank {
				best, rank = candidate, found
			}
		}
	}
	return best
}

// domainRank is negative where the domain does not match.
func domainRank(domain, host string) int {
	const wildcard, prefix, suffix, exact = 0, 1 << 10, 1 << 20, 1 << 30
	switch {
	case domain == host:
		return exact
	case domain == "*":
		return wildcard
	case strings.HasPrefix(domain, "*") && len(host) >= len(domain) && strings.HasSuffix(host, domain[1:]):
		return suffix + len(domain)
	case strings.HasSuffix(domain, "*") && len(host) >= len(domain) && strings.HasPrefix(host, domain[:len(domain)-1]):
		return prefix + len(domain)
	}
	return -1
}

func matches(match *route.RouteMatch, call Call) bool {
	if !matchesPath(match, pathOnly(call.Path)) {
		return false
	}
	for _, header := range match.Headers {
		if !matchesHeader(header, call) {
			return false
		}
	}
	for _, parameter := range match.QueryParameters {
		if !matchesParameter(parameter, call.Path) {
			return false
		}
	}
	for _, metadata := range match.DynamicMetadata {
		// There is none: no token was checked.
		if !metadata.Invert {
			return false
		}
	}
	return true
}

func pathOnly(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

func matchesPath(match *route.RouteMatch, path string) bool {
	ignoreCase := match.CaseSensitive != nil && !match.CaseSensitive.Value
	fold := func(text string) string {
		if ignoreCase {
			return strings.ToLower(text)
		}
		return text
	}
	switch specifier := match.PathSpecifier.(type) {
	case *route.RouteMatch_Prefix:
		return strings.HasPrefix(fold(path), fold(specifier.Prefix))
	case *route.RouteMatch_Path:
		return fold(path) == fold(specifier.Path)
	case *route.RouteMatch_SafeRegex:
		return fullMatch(specifier.SafeRegex.Regex, path)
	case *route.RouteMatch_PathSeparatedPrefix:
		prefix, path := fold(specifier.PathSeparatedPrefix), fold(path)
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return false
}

// fullMatch: Istio has checked the expression.
func fullMatch(expression, text string) bool {
	compiled, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	return err == nil && compiled.MatchString(text)
}

// header is the value of all lines of that name, joined by commas.
func header(call Call, name string) (string, bool) {
	switch name = strings.ToLower(name); name {
	case ":method":
		return call.Method, true
	case ":path":
		return call.Path, true
	case ":scheme":
		return call.Protocol, true
	case ":authority", "host":
		return call.Host, true
	}
	for found, values := range call.Headers {
		if strings.ToLower(found) == name && len(values) != 0 {
			return strings.Join(values, ","), true
		}
	}
	return "", false
}

func matchesHeader(match *route.HeaderMatcher, call Call) bool {
	value, present := header(call, match.Name)
	if specifier, ok := match.HeaderMatchSpecifier.(*route.HeaderMatcher_PresentMatch); ok {
		return (present == specifier.PresentMatch) != match.InvertMatch
	}
	if !present && !match.TreatMissingHeaderAsEmpty {
		return false
	}
	return matchesString(match.GetStringMatch(), value) != match.InvertMatch
}

// matchesParameter judges the first value; nothing is unescaped.
func matchesParameter(match *route.QueryParameterMatcher, path string) bool {
	_, query, _ := strings.Cut(path, "?")
	for _, pair := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || name != match.Name {
			continue
		}
		if _, ok := match.QueryParameterMatchSpecifier.(*route.QueryParameterMatcher_PresentMatch); ok {
			return true
		}
		return matchesString(match.GetStringMatch(), value)
	}
	return false
}

func matchesString(match *matcher.StringMatcher, value string) bool {
	switch pattern := match.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return value == pattern.Exact
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(value, pattern.Prefix)
	case *matcher.StringMatcher_SafeRegex:
		return fullMatch(pattern.SafeRegex.Regex, value)
	}
	return false
}
