// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

var redirectStatus = map[route.RedirectAction_RedirectResponseCode]uint32{
	route.RedirectAction_MOVED_PERMANENTLY:  301,
	route.RedirectAction_FOUND:              302,
	route.RedirectAction_SEE_OTHER:          303,
	route.RedirectAction_TEMPORARY_REDIRECT: 307,
	route.RedirectAction_PERMANENT_REDIRECT: 308,
}

// rewritten is path and query after the route has rewritten the path.
func rewritten(path string, match *route.RouteMatch, prefix string, regex *matcher.RegexMatchAndSubstitute) string {
	only := pathOnly(path)
	query := path[len(only):]
	switch {
	case prefix != "":
		return prefix + only[matchedLength(match, only):] + query
	case regex != nil:
		compiled, err := regexp.Compile(regex.GetPattern().GetRegex())
		if err != nil {
			return path
		}
		return compiled.ReplaceAllString(only, substitution(regex.Substitution)) + query
	}
	return path
}

// matchedLength is how much of the path is replaced: the prefix, or for other kinds of match all of it.
func matchedLength(match *route.RouteMatch, path string) int {
	switch specifier := match.PathSpecifier.(type) {
	case *route.RouteMatch_Prefix:
		return len(specifier.Prefix)
	case *route.RouteMatch_PathSeparatedPrefix:
		return len(specifier.PathSeparatedPrefix)
	}
	return len(path)
}

// substitution turns RE2's `\1` and `\\` into Go's.
func substitution(text string) string {
	var out strings.Builder
	for at := 0; at < len(text); at++ {
		switch {
		case text[at] == '\\' && at+1 < len(text) && text[at+1] >= '0' && text[at+1] <= '9':
			at++
			fmt.Fprintf(&out, "${%c}", text[at])
		case text[at] == '\\' && at+1 < len(text):
			at++
			out.WriteByte(text[at])
		case text[at] == '$':
			out.WriteString("$$")
		default:
			out.WriteByte(text[at])
		}
	}
	return out.String()
}

// location is where a redirect sends the client.
func location(call Call, match *route.RouteMatch, redirect *route.RedirectAction) string {
	scheme, port := call.Protocol, ""
	if wanted := redirect.GetSchemeRedirect(); wanted != "" {
		scheme = wanted
	} else if redirect.GetHttpsRedirect() {
		scheme = "https"
	}
	if redirect.PortRedirect != 0 {
		port = fmt.Sprintf(":%d", redirect.PortRedirect)
	}
	host := redirect.HostRedirect
	if host == "" {
		host = redirectHost(call, scheme, port)
	}
	path := call.Path
	if target := redirect.GetPathRedirect(); target != "" {
		path = target
		if !strings.Contains(target, "?") {
			path += call.Path[len(pathOnly(call.Path)):]
		}
	}
	path = rewritten(path, match, redirect.GetPrefixRewrite(), redirect.GetRegexRewrite())
	return scheme + "://" + host + port + path
}

// redirectHost is the host of the request. Its port goes when another takes its place, and when it was the default of
// a scheme that changes.
func redirectHost(call Call, scheme, port string) string {
	at := strings.LastIndex(call.Host, ":")
	if at < 0 || strings.HasSuffix(call.Host, "]") {
		return call.Host
	}
	remove := port != ""
	if scheme != call.Protocol {
		remove = remove || call.Protocol == "https" && call.Host[at:] == ":443"
		remove = remove || call.Protocol == "http" && call.Host[at:] == ":80"
	}
	if remove {
		return call.Host[:at]
	}
	return call.Host
}
