// SPDX-License-Identifier: Apache-2.0
//! What all proxies of an installation have in common, and when it changes. The feed is named by the address of its
//! Service, so that proxies need no DNS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::api::{Pauses, within};
use crate::cell::put;
use crate::feed::Ca;
use crate::provision::desired::Install;

/// Of one call. Nothing goes on without it, so that a slow answer is better than none.
const CALL: Duration = Duration::from_secs(15);

/// What is known of it from the beginning.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Where the controller lives.
    pub namespace: String,
    /// Image of the proxies.
    pub image: String,
    /// The Service that leads to the feed …
    pub service: String,
    /// … at this port.
    pub port: u16,
    /// The name that the feed's certificate is for.
    pub name: String,
    /// Version of the controller.
    pub version: String,
}

/// Waits until the feed has an address; then follows the authority that proxies trust, for as long as anybody looks.
pub async fn follow(
    client: Client,
    installation: Installation,
    mut authorities: watch::Receiver<Ca>,
) -> watch::Receiver<Install> {
    let Installation { namespace, image, service, port, name, version } = installation;
    let mut pauses = Pauses::default();
    let address = loop {
        match address(&client, &namespace, &service).await {
            Ok(address) => break address,
            Err(why) => tracing::warn!(service, why, "where the feed is is not known yet"),
        }
        tokio::time::sleep(pauses.next(None, fastrand::f64())).await;
    };
    let feed = SocketAddr::new(address, port).to_string();
    let feed_ca = authorities.borrow_and_update().bundle();
    let mesh_roots = String::new();
    let install = Install { image, feed, feed_name: name, feed_ca, mesh_roots, namespace, version };
    let (sender, receiver) = watch::channel(install.clone());
    tokio::spawn(async move {
        while authorities.changed().await.is_ok() {
            let feed_ca = authorities.borrow_and_update().bundle();
            put(&sender, Install { feed_ca, ..install.clone() });
        }
    });
    receiver
}

/// The address of the Service.
async fn address(client: &Client, namespace: &str, service: &str) -> Result<IpAddr, String> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = within(CALL, services.get(service)).await.map_err(|failure| failure.to_string())?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).and_then(|address| address.parse().ok());
    address.ok_or_else(|| "it has no cluster IP".to_owned())
}
