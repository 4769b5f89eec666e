// SPDX-License-Identifier: Apache-2.0
//! A certificate that is obtained because a client asked one of three proxies for its name.

use super::super::{gateway, kubectl};
use super::relay::Kind;
use super::site::{Site, host};
use torana_tests::Connection;

/// A name that is agreed to, as the host of a listener that is not there.
const AGREED: &str = "customer";

/// A ClusterAcmeIssuer, removed with the test.
struct Issuer(String);

impl Issuer {
    /// As the AcmeIssuer of the site, with somebody who agrees to everything.
    fn new(site: &Site) -> Self {
        let service = site.lab.get("service", "echo");
        let (address, port) = (&service["spec"]["clusterIP"], &service["spec"]["ports"][0]["port"]);
        let url = format!("http://{}:{port}/status/200", address.as_str().unwrap());
        let name = site.lab.namespace.clone();
        site.lab.apply(&format!(
            "apiVersion: torana.dev/v1alpha1\nkind: ClusterAcmeIssuer\nmetadata: {{name: {name}}}\nspec: {{directory: {:?}, \
             selfCheck: Skip, caBundle: {:?}, onDemand: {{ask: {{url: {url:?}}}}}}}\n---\n",
            site.relay.directory,
            site.pebble.authority.root_pem()
        ));
        Self(name)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        kubectl(&["delete", "clusteracmeissuer", &self.0, "--ignore-not-found"]);
    }
}

#[test]
fn a_name_that_one_proxy_is_asked_for_is_ordered_once_and_served_by_all() {
    let Some(site) = Site::new() else { return };
    let issuer = Issuer::new(&site);
    let plain = "{name: http, port: 80, protocol: HTTP}";
    let secure = ", {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: sites}]}}";
    let annotations = format!("torana.dev/acme: {}, torana.dev/acme-on-demand: 'true'", issuer.0);
    let manifests = gateway("edge", 3)
        .replace(plain, &(plain.to_owned() + secure))
        .replace("kind: Gateway\nmetadata: {", &format!("kind: Gateway\nmetadata: {{annotations: {{{annotations}}}, "));
    site.lab.apply(&manifests);
    site.until("the listener is served though it has no certificate", || {
        let gateway = site.lab.get("gateway", "edge");
        gateway["status"]["listeners"].as_array().is_some_and(|listeners| {
            let programmed = |it: &serde_json::Value| it["type"] == "Programmed" && it["status"] == "True";
            listeners.len() == 2
                && listeners.iter().all(|it| it["conditions"].as_array().is_some_and(|all| all.iter().any(programmed)))
        })
    });
    assert_eq!(site.relay.passed([Kind::Order]), [0]);
    let one = format!("{}:443", site.pods[0]).parse().unwrap();
    // Its client may have waited in vain: it was asked for nevertheless.
    drop(Connection::tls_to(one, &host(AGREED), &site.pebble.client()));
    site.serves(AGREED);
    assert_eq!((site.relay.passed([Kind::Order]), site.pebble.orders()), ([1], 1), "{}", site.told());
}
