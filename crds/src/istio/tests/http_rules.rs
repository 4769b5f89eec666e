// SPDX-License-Identifier: Apache-2.0
//! Rules of one HTTP rule of a VirtualService.

use super::*;

/// What is said of a rule of a VirtualService of a Gateway; paths are within the rule.
#[track_caller]
fn rules(rows: &[(&str, &[&str])]) {
    for (rule, expected) in rows {
        let expected: Vec<String> = expected
            .iter()
            .map(|it| {
                let (mark, rest) = it.split_at(2);
                let dot = if rest.starts_with(':') { "" } else { "." };
                format!("{mark}spec.http[0]{dot}{rest}")
            })
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        judged(
            Kind::VirtualService,
            &[(&format!("{{hosts: [a.example], gateways: [a/b], http: [{rule}]}}"), &expected)],
        );
    }
}

const TO: &str = "route: [{destination: {host: app}}]";

/// The same for a rule that also has a route.
#[track_caller]
fn routed(rows: &[(&str, &[&str])]) {
    for (rule, expected) in rows {
        rules(&[(&format!("{{{rule}, {TO}}}"), expected)]);
    }
}

#[test]
fn one_thing_becomes_of_a_request() {
    let redirect = "redirect: {uri: /a}";
    let answer = "directResponse: {status: 200}";
    rules(&[
        (&format!("{{{redirect}}}"), &[]),
        (&format!("{{{answer}, headers: {{}}, corsPolicy: {{}}}}"), &[]),
        ("{delegate: {name: a}}", &[]),
        ("{delegate: {name: a}, directResponse: {status: 200}}", &[]),
        ("{}", &["! : does not say what becomes of requests"]),
        (&format!("{{{redirect}, {TO}}}"), &["! route: stands beside redirect"]),
        (&format!("{{{redirect}, {answer}}}"), &["! directResponse: stands beside redirect"]),
        (
            &format!("{{{redirect}, fault: {{abort: {{httpStatus: 500}}}}, rewrite: {{uri: /}}}}"),
            &["! fault: stands beside redirect", "! rewrite: stands beside redirect"],
        ),
        (
            &format!("{{{answer}, {TO}, fault: {{abort: {{httpStatus: 500}}}}, rewrite: {{uri: /}}}}"),
            &[
                "! route: stands beside directResponse",
                "! fault: stands beside directResponse",
                "! rewrite: stands beside directResponse",
            ],
        ),
        (
            &format!("{{delegate: {{name: a}}, {TO}, {redirect}}}"),
            &["! redirect: stands beside delegate", "! route: stands beside delegate"],
        ),
    ]);
}

#[test]
fn texts_that_are_matched_are_not_empty() {
    let long = "a".repeat(1_025);
    routed(&[
        ("match: [{uri: {prefix: ''}}]", &[]),
        ("match: [{headers: {x: {}, ':path': {exact: /}, y: {regex: '*'}}, queryParams: {q: {regex: '*'}}}]", &[]),
        ("match: [{headers: {'@request.auth.claims[a]': {exact: b}}}]", &[]),
        ("match: [{uri: {regex: ''}}]", &["! match[0].uri.regex: is an empty expression"]),
        (
            &format!("match: [{{uri: {{regex: {long}}}}}]"),
            &["! match[0].uri.regex: is an expression of more than 1024 characters"],
        ),
        ("match: [{scheme: {prefix: ''}}]", &["! match[0].scheme.prefix: is empty"]),
        ("match: [{method: {regex: ''}}]", &["! match[0].method.regex: is an empty expression"]),
        ("match: [{authority: {prefix: ''}}]", &["! match[0].authority.prefix: is empty"]),
        ("match: [{headers: {x: {prefix: ''}}}]", &["! match[0].headers.x.prefix: is empty"]),
        ("match: [{withoutHeaders: {x: {regex: ''}}}]", &["! match[0].withoutHeaders.x.regex: is an empty expression"]),
        ("match: [{queryParams: {q: {prefix: ''}}}]", &["! match[0].queryParams.q.prefix: is empty"]),
        ("match: [{headers: {'a b': {}}}]", &["! match[0].headers.a b: is not a name of a header"]),
        ("match: [{headers: {':x': {}}}]", &["! match[0].headers.:x: is not a name of a header"]),
        (
            "match: [{headers: {'@request.auth.claims': {}}}]",
            &["! match[0].headers.@request.auth.claims: is not a name of a header"],
        ),
        ("match: [{sourceNamespace: a.b}]", &["! match[0].sourceNamespace: is not a namespace"]),
        ("match: [{sourceLabels: {a: '*'}}]", &["! match[0].sourceLabels.a: has no value of a label"]),
        ("match: [{}, {gateways: [/]}]", &["! match[1].gateways[0]: is no name of a Gateway: \"/\""]),
    ]);
}

#[test]
fn claims_are_for_gateways() {
    let rule = "{match: [{headers: {'@request.auth.claims.a': {exact: b}}}], route: [{destination: {host: a}}]}";
    for gateways in ["", "gateways: [mesh, a/b], "] {
        let expected =
            ["! spec.http[0].match[0].headers.@request.auth.claims[a]: asks for a claim, which only a Gateway knows"];
        judged(Kind::VirtualService, &[(&format!("{{hosts: [a.example], {gateways}http: [{rule}]}}"), &expected)]);
    }
}

#[test]
fn destinations_have_a_host_and_a_weight() {
    rules(&[
        ("{route: [{destination: {host: a.b.svc.cluster.local}, weight: 1}, {destination: {host: b}}]}", &[]),
        ("{route: [{destination: {host: '*.a.example'}}]}", &[]),
        ("{route: [{destination: {host: ''}}]}", &["! route[0].destination.host: is no host to send to: \"\""]),
        (
            "{route: [{destination: {host: a, subset: a.b}}]}",
            &["! route[0].destination.subset: is no name of a subset: \"a.b\""],
        ),
        (
            "{route: [{destination: {host: a}}, {destination: {host: b}}]}",
            &["! route: has several destinations of weight 0"],
        ),
    ]);
    routed(&[
        ("mirror: {host: '*'}", &["! mirror.host: is no host to send to: \"*\""]),
        ("mirrors: [{destination: {host: ''}}]", &["! mirrors[0].destination.host: is no host to send to: \"\""]),
        ("mirror: {host: a}, mirrors: [{destination: {host: b}}]", &["! mirror: stands beside mirrors"]),
        ("mirror: {host: a}, mirrorPercent: 5", &["? mirrorPercent: is deprecated"]),
        ("mirror: {host: a}, mirrorPercent: 101", &["! mirrorPercent: is more than 100"]),
    ]);
}

#[test]
fn header_fields_have_names_and_values() {
    routed(&[
        ("headers: {request: {set: {x-a: '%REQ(x)% 100%%', host: b}, add: {x-b: c}, remove: [x-c]}}", &[]),
        ("headers: {request: {set: {':path': /}}}", &["! headers.request.set.:path: is a pseudo-header"]),
        ("headers: {request: {add: {'': x}}}", &["! headers.request.add.: is not a name of a header: \"\""]),
        ("headers: {request: {add: {x: '5%'}}}", &["! headers.request.add.x: has a % that begins no %VARIABLE%"]),
        (
            "headers: {request: {remove: [x, Host]}}",
            &["! headers.request.remove[1]: is the host, which can only be set, and of requests"],
        ),
        (
            "headers: {response: {set: {host: a}}}",
            &["! headers.response.set.host: is the host, which can only be set, and of requests"],
        ),
        (
            "headers: {request: {set: {Host: a}}}, rewrite: {authority: b}",
            &["! headers.request: sets the host more than once"],
        ),
    ]);
    rules(&[(
        "{route: [{destination: {host: a}, headers: {response: {add: {'a b': c}}}}]}",
        &["! route[0].headers.response.add.a b: is not a name of a header: \"a b\""],
    )]);
}

#[test]
fn durations_are_whole_milliseconds() {
    let told = "is not a whole number of milliseconds, at least 1ms";
    routed(&[
        ("timeout: 1ms", &[]),
        ("timeout: 0s", &[&format!("! timeout: {told}")]),
        ("timeout: 1500us", &[&format!("! timeout: {told}")]),
        (
            "retries: {attempts: 1, perTryTimeout: 0s, backoff: 1ns}",
            &[&format!("! retries.perTryTimeout: {told}"), &format!("! retries.backoff: {told}")],
        ),
        ("fault: {delay: {fixedDelay: 0s}}", &[&format!("! fault.delay.fixedDelay: {told}")]),
        ("corsPolicy: {maxAge: 1500ms}", &["! corsPolicy.maxAge: is not a whole number of seconds"]),
    ]);
}

#[test]
fn retries_say_when() {
    routed(&[
        ("retries: {attempts: 0}", &[]),
        ("retries: {}", &[]),
        ("retries: {attempts: 2, retryOn: 'connect-failure,503,unavailable', retryRemoteLocalities: true}", &[]),
        ("retries: {retryOn: 5xx}", &["! retries.attempts: is 0: the rest has no effect"]),
        ("retries: {attempts: 0, retryRemoteLocalities: false}", &["! retries.attempts: is 0: the rest has no effect"]),
        (
            "retries: {attempts: 1, retryOn: '5xx, reset,299'}",
            &["! retries.retryOn: has no such reason: \" reset\"", "! retries.retryOn: has no such reason: \"299\""],
        ),
    ]);
}

#[test]
fn redirects_lead_elsewhere() {
    rules(&[
        ("{redirect: {port: 8080}}", &[]),
        ("{redirect: {derivePort: FROM_PROTOCOL_DEFAULT}}", &[]),
        ("{match: [{uri: {prefix: /a}}, {}], redirect: {prefixRewrite: /b, redirectCode: 307}}", &[]),
        ("{redirect: {}}", &["! redirect: leads back to where it came from"]),
        ("{redirect: {uri: /a, prefixRewrite: /b}}", &["! redirect: has both uri and prefixRewrite"]),
        (
            "{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}",
            &["! redirect.prefixRewrite: needs matches of uri by prefix"],
        ),
        ("{redirect: {uri: /a, redirectCode: 200}}", &["! redirect.redirectCode: is not 3xx"]),
        (
            "{redirect: {uri: /a, redirectCode: 304}}",
            &["? redirect.redirectCode: is 304, with which nobody is redirected"],
        ),
    ]);
}

#[test]
fn answers_have_a_status_and_are_small() {
    let answer = |status: u16, length: usize| {
        format!("{{directResponse: {{status: {status}, body: {{string: {}}}}}}}", "a".repeat(length))
    };
    rules(&[
        (&answer(200, 102_400), &[]),
        (&answer(600, 1), &[]),
        (&answer(199, 1), &["! directResponse.status: is 199, which is no answer"]),
        (&answer(601, 1), &["! directResponse.status: is 601, which is no answer"]),
        (&answer(200, 102_401), &["? directResponse.body: is larger than 100 KB"]),
        (&answer(200, 1_048_577), &["! directResponse.body: is larger than 1 MB"]),
    ]);
}

#[test]
fn rewrites_rewrite_something() {
    routed(&[
        ("rewrite: {uri: /, authority: a}", &[]),
        ("rewrite: {uriRegexRewrite: {match: a, rewrite: b}}", &[]),
        ("rewrite: {}", &["! rewrite: rewrites nothing"]),
        (
            "rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}",
            &["! rewrite: has both uri and uriRegexRewrite"],
        ),
        (
            "rewrite: {uriRegexRewrite: {}}",
            &["! rewrite.uriRegexRewrite.match: is an empty expression", "! rewrite.uriRegexRewrite.rewrite: is empty"],
        ),
    ]);
}

#[test]
fn faults_do_something() {
    routed(&[
        ("fault: {delay: {fixedDelay: 5s}, abort: {httpStatus: 503, percentage: {value: 1}}}", &[]),
        ("fault: {}", &["! fault: does nothing"]),
        ("fault: {delay: {}}", &["? fault.delay: delays nothing"]),
        ("fault: {abort: {}}", &["? fault.abort: aborts nothing"]),
        ("fault: {abort: {httpStatus: 100}}", &["! fault.abort.httpStatus: is 100, which is no answer"]),
    ]);
}

#[test]
fn cors_names_origins_methods_and_headers() {
    routed(&[
        (
            "corsPolicy: {allowOrigins: [{regex: '.*'}], allowMethods: [GET, '*'], allowHeaders: ['*', x-a], exposeHeaders: [b]}",
            &[],
        ),
        (
            "corsPolicy: {allowOrigins: [{}, {exact: ''}, {regex: ''}]}",
            &[
                "! corsPolicy.allowOrigins[0]: is empty",
                "! corsPolicy.allowOrigins[1]: is empty",
                "! corsPolicy.allowOrigins[2].regex: is an empty expression",
            ],
        ),
        ("corsPolicy: {allowMethods: [get]}", &["! corsPolicy.allowMethods[0]: is not a method: \"get\""]),
        (
            "corsPolicy: {exposeHeaders: ['a b']}",
            &["! corsPolicy.exposeHeaders[0]: is not a name of a header: \"a b\""],
        ),
    ]);
}
