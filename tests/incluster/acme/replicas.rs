// SPDX-License-Identifier: Apache-2.0
//! Nothing happens to anybody: two listeners get their certificates, with one order each.

use serde_json::Value;

use super::super::{SYSTEM, ask, kubectl};
use super::relay::{Kind, Part};
use super::site::{Site, host};

const LISTENERS: [&str; 2] = ["first", "second"];

/// A condition of a listener: its status, its reason and its message.
fn condition(site: &Site, listener: &str, kind: &str) -> [String; 3] {
    let gateway = site.lab.get("gateway", "edge");
    let all = gateway["status"]["listeners"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|it| it["name"] == listener).and_then(|it| it["conditions"].as_array().cloned());
    let found = found.into_iter().flatten().find(|condition| condition["type"] == kind).unwrap_or_default();
    ["status", "reason", "message"].map(|field| found[field].as_str().unwrap_or_default().to_owned())
}

/// Holds that every proxy, asked by itself, knows the answer to each challenge that is kept.
fn every_proxy_answers(site: &Site, state: &Value) {
    let challenges = state["order"]["challenges"].as_array().unwrap();
    assert_eq!(challenges.len(), 1, "{state}");
    let text = |name: &str| challenges[0][name].as_str().unwrap().to_owned();
    let path = format!("/.well-known/acme-challenge/{}", text("token"));
    for pod in &site.pods {
        let reply = ask(pod, &text("host"), &path).unwrap();
        assert_eq!((reply.status, reply.text()), (200, text("key_authorization")), "{pod}");
    }
}

fn is_pending(site: &Site, listener: &str) {
    let told = format!("is being convinced of {} by http-01", host(listener));
    site.until(&format!("the condition of {listener} says what it waits for"), || {
        let [status, _, message] = condition(site, listener, "Programmed");
        status == "False" && message.contains(&told)
    });
    let of_gateway = ["get", "events.events.k8s.io", "-o", "jsonpath={.items[?(@.regarding.name=='edge')].note}"];
    site.until(&format!("an event says it of {listener}"), || site.lab.kubectl(&of_gateway).contains(&told));
    assert!(site.lab.find("secret", listener).is_none(), "nothing was signed yet");
}

#[test]
fn two_controllers_place_one_order_for_each_certificate_and_every_proxy_answers_the_authority() {
    let Some(site) = Site::new() else { return };
    let held = LISTENERS.map(|_| site.relay.hold(Kind::Challenge, Part::Question));
    site.want(&LISTENERS);
    let held = held.map(|it| it.held(|| site.told()));
    for listener in LISTENERS {
        every_proxy_answers(&site, &site.state(listener).unwrap());
        is_pending(&site, listener);
    }
    assert_eq!(site.relay.passed([Kind::Order, Kind::Challenge]), [2, 0], "the authority was not asked to look");
    held.into_iter().for_each(super::relay::Held::pass);
    for listener in LISTENERS {
        site.serves(listener);
        for kind in ["Programmed", "ResolvedRefs"] {
            site.until(&format!("{listener} is {kind}"), || condition(&site, listener, kind)[0] == "True");
        }
        let secret = site.lab.get("secret", listener);
        assert_eq!(secret["type"], "kubernetes.io/tls");
        assert_eq!(secret["metadata"]["labels"]["torana.dev/acme"], "certificate");
        let state = site.state(listener).unwrap();
        assert_eq!((&state["order"], &state["failures"]), (&Value::Null, &0.into()), "{state}");
    }
    let passed = site.relay.passed([Kind::Order, Kind::Challenge, Kind::Finalize, Kind::Certificate]);
    assert_eq!((passed, site.pebble.orders()), ([2; 4], 2), "{}", site.told());
    let accounts = kubectl(&["-n", SYSTEM, "get", "secrets", "-l", "torana.dev/acme=account", "-o", "json"]);
    assert_eq!(accounts.matches(&format!("\"torana.dev/acme-directory\": \"{}\"", site.relay.directory)).count(), 1);
}
