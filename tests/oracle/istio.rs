// SPDX-License-Identifier: Apache-2.0
//! Istio's answer, as its program writes it, in our words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::outcome::{Answer, Cors, Destination, Fault, Forward, Operations, Outcome, Retries, Target, edits, shares};

/// Millionths in one of 100.
const PERCENT: f64 = 10_000.0;

/// Reads an answer. A failure is no answer: it says that scenario or program are broken.
pub(super) fn answer(value: &Value) -> Result<Answer, String> {
    if let Some(failure) = value["failure"].as_str() {
        return Err(failure.to_owned());
    }
    let mut rejected: Vec<String> = texts(&value["rejected"]).iter().map(|text| object(text)).collect();
    rejected.sort();
    let results = value["results"].as_array().ok_or("no results")?;
    Ok(Answer { rejected, outcomes: results.iter().map(outcome).collect() })
}

/// `Kind/namespace/name: why`.
fn object(text: &str) -> String {
    text.split(": ").next().unwrap_or_default().to_owned()
}

fn outcome(result: &Value) -> Outcome {
    match text(&result["error"]).as_str() {
        "none" => matched(result),
        "no_listener" => Outcome::NoListener,
        "no_filter_chain" | "protocol_error" | "tls_error" | "mtls_error" => Outcome::Closed,
        "no_route" | "no_virtual_host" => Outcome::NoRoute,
        "tls_redirect" => {
            Outcome::Redirect { status: 301, location: text(&result["location"]).to_lowercase(), headers: Vec::new() }
        }
        error => Outcome::Undefined(error.to_owned()),
    }
}

fn matched(result: &Value) -> Outcome {
    let headers = || edits(vec![operations(&result["response_headers"])]);
    match text(&result["action"]).as_str() {
        "tcp" => Outcome::Stream(targets(result)),
        "route" => Outcome::Forward(Box::new(forward(result))),
        "redirect" => Outcome::Redirect {
            status: number(&result["status"]),
            location: text(&result["location"]).to_lowercase(),
            headers: headers(),
        },
        "direct_response" => {
            Outcome::Direct { status: number(&result["status"]), body: text(&result["body"]), headers: headers() }
        }
        _ => Outcome::Undefined("a route without action".to_owned()),
    }
}

fn forward(result: &Value) -> Forward {
    let forward = &result["forward"];
    let of_rule = |name: &str| operations(&result[name]);
    // Where several targets are written, their own come first.
    let several = result["weighted"] == true;
    let whole = |name: &str| if several { Vec::new() } else { edits(vec![of_rule(name)]) };
    Forward {
        targets: targets(result),
        path: text(&forward["path"]),
        authority: text(&forward["authority"]).to_lowercase(),
        timeout: milliseconds(&forward["timeout_ms"]),
        retries: forward.get("retries").map(retries),
        hash: texts(&forward["hash"]),
        request: whole("request_headers"),
        response: whole("response_headers"),
        cors: result.get("cors").map(cors),
        fault: result.get("fault").map(fault).filter(|fault| *fault != Fault::default()),
        mirrors: list(&result["mirrors"])
            .iter()
            .map(|mirror| (destination(&mirror["target"]), millionths(&mirror["percent"])))
            .collect(),
    }
}

fn targets(result: &Value) -> Vec<Target> {
    let several = result["weighted"] == true;
    let both = |target: &Value, name: &str| {
        let own = operations(&target[name]);
        if several { edits(vec![own, operations(&result[name])]) } else { edits(vec![own]) }
    };
    let one = |target: &Value| Target {
        destination: destination(target),
        weight: number(&target["weight"]),
        request: both(target, "request_headers"),
        response: both(target, "response_headers"),
        authority: target["authority"].as_str().map(str::to_owned),
    };
    shares(list(&result["targets"]).iter().map(one).collect())
}

fn destination(target: &Value) -> Destination {
    if target["known"] != true {
        return Destination::Unknown;
    }
    let subset = target["subset"].as_str().map(str::to_owned);
    Destination::Known { host: text(&target["host"]), port: number(&target["port"]), subset }
}

/// Envoy's words by what they mean. Of `retriable-status-codes` the codes stand beside it; `retriable-headers` and what is
/// of HTTP/3 never come about.
fn retries(value: &Value) -> Retries {
    let words = texts(&value["on"]);
    let says = |word: &str| words.iter().any(|it| it == word);
    let mut answers: BTreeSet<u16> = BTreeSet::new();
    if says("retriable-status-codes") {
        answers.extend(list(&value["statuses"]).iter().map(number::<u16>).filter(|code| (400..600).contains(code)));
    }
    if says("5xx") {
        answers.extend(500..600);
    }
    if says("gateway-error") {
        answers.extend(502..=504);
    }
    if says("retriable-4xx") {
        answers.insert(409);
    }
    let grpc =
        [("cancelled", 1), ("deadline-exceeded", 4), ("resource-exhausted", 8), ("internal", 13), ("unavailable", 14)];
    let unanswered = says("5xx") || says("gateway-error") || says("reset");
    let unsent = says("connect-failure") || says("refused-stream") || says("reset-before-request");
    Retries {
        count: number(&value["count"]),
        answers: answers.into_iter().collect(),
        grpc: grpc.into_iter().filter(|(word, _)| says(word)).map(|(_, status)| status).collect(),
        rate_limited: says("envoy-ratelimited"),
        unanswered,
        unsent: unanswered || unsent,
        per_try: milliseconds(&value["per_try_ms"]),
        backoff: milliseconds(&value["backoff_ms"]),
        other_hosts: value["other_hosts"] == true,
    }
}

/// What no request gets is not there.
fn fault(value: &Value) -> Fault {
    let share = |name: &str| Some(millionths(&value[name])).filter(|share| *share > 0);
    let status = value["abort_status"].as_u64().map(|status| format!("http {status}"));
    let abort = status.or_else(|| value["abort_grpc"].as_u64().map(|status| format!("grpc {status}")));
    Fault {
        delay: milliseconds(&value["delay_ms"]).zip(share("delay_percent")),
        abort: abort.zip(share("abort_percent")),
    }
}

fn cors(value: &Value) -> Cors {
    Cors {
        origins: texts(&value["origins"]),
        methods: text(&value["methods"]),
        headers: text(&value["headers"]),
        expose: text(&value["expose"]),
        max_age: value["max_age"].as_str().and_then(|age| age.parse().ok()),
        credentials: value["credentials"] == true,
        forward_unmatched: value["forward_unmatched"] == true,
    }
}

fn operations(value: &Value) -> Operations {
    let mut found = Operations::default();
    let pairs = |list_of: &str| -> Vec<(String, String)> {
        list(&value[list_of]).iter().map(|pair| (text(&pair[0]).to_lowercase(), text(&pair[1]))).collect()
    };
    found.set.extend(pairs("set"));
    for (name, value) in pairs("add") {
        found.add.entry(name).or_default().push(value);
    }
    found.remove = texts(&value["remove"]).iter().map(|name| name.to_lowercase()).collect();
    found.remove.sort();
    found.remove.dedup();
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}

/// 0 is none.
fn milliseconds(value: &Value) -> Option<u64> {
    value.as_u64().filter(|value| *value > 0)
}

fn number<T: TryFrom<u64> + Default>(value: &Value) -> T {
    value.as_u64().and_then(|value| T::try_from(value).ok()).unwrap_or_default()
}

#[allow(clippy::cast_sign_loss, reason = "no share is negative")]
fn millionths(value: &Value) -> u32 {
    (value.as_f64().unwrap_or_default() * PERCENT).round() as u32
}
