// SPDX-License-Identifier: Apache-2.0
//! Keeps an authority in a Secret, so that every replica and every later leader has the same; the leader renews it. And
//! keeps the certificate of the port that it is for. What an authority is made of is [`crate::ca`]'s.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use rustls::ServerConfig;
use tokio::sync::watch;

use crate::ca::{Ca, Purpose, Serving};
use crate::cell::put;
use crate::clock::now;
use crate::leader::Leadership;
use crate::reconcile::shared::{Data, Shared};

/// How often others' changes are looked for, and whether the authority is to be renewed.
const LOOK: Duration = Duration::from_mins(1);

/// The Secret that holds it.
#[derive(Debug, Clone)]
pub struct Keeper(Shared);

impl Keeper {
    /// The Secret `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self(Shared::new(client, namespace, name))
    }

    /// The authority; made if there is none. Tries until it succeeds: a Secret that holds none is left as it is.
    pub async fn authority<P: Purpose>(&self) -> Ca<P> {
        self.0.value(make::<P>, read).await
    }

    /// Follows the Secret, and renews it while this replica leads, until nobody looks.
    pub async fn keep<P: Purpose>(self, sender: watch::Sender<Ca<P>>, leadership: watch::Receiver<Leadership>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = sender.closed() => return,
            }
            let leads = leadership.borrow().leads();
            let known = sender.borrow().clone();
            match self.renewed(known, leads).await {
                Ok(ca) => put(&sender, ca),
                Err(why) => tracing::warn!(secret = self.0.name, why, "an authority cannot be looked at"),
            }
        }
    }

    /// A Secret that somebody deleted is put back: everybody trusts what it held.
    async fn renewed<P: Purpose>(&self, known: Ca<P>, leads: bool) -> Result<Ca<P>, String> {
        let Some((data, version)) = self.0.read().await? else {
            tracing::warn!(secret = self.0.name, "an authority was deleted; it is put back");
            return read(&self.0.read_or_make(|| Ok(known.to_secret())).await?);
        };
        let ca: Ca<P> = read(&data)?;
        if !leads || !ca.due(now()) {
            return Ok(ca);
        }
        let next = ca.rotated(now()).map_err(|error| error.to_string())?;
        self.0.replace(next.to_secret(), version).await?;
        tracing::info!(secret = self.0.name, "an authority was renewed");
        Ok(next)
    }
}

fn make<P: Purpose>() -> Result<Data, String> {
    Ca::<P>::new(now()).map(|ca| ca.to_secret()).map_err(|error| error.to_string())
}

fn read<P: Purpose>(data: &Data) -> Result<Ca<P>, String> {
    Ca::from_secret(data).map_err(|error| error.to_string())
}

/// How a port is served with a certificate.
type Tls = fn(&Serving) -> Result<Arc<ServerConfig>, rustls::Error>;

/// What a port of `names` is served with, always in time, for as long as anybody looks; nothing if there is no first one.
pub fn certificates<P: Purpose>(
    mut authorities: watch::Receiver<Ca<P>>,
    names: Vec<String>,
    tls: Tls,
) -> Option<watch::Receiver<Arc<ServerConfig>>> {
    let (config, mut due) = certificate(&authorities, &names, tls)?;
    let (sender, configs) = watch::channel(config);
    tokio::spawn(async move {
        loop {
            let left = u64::try_from(due - now()).unwrap_or_default().max(1);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(left)) => {}
                changed = authorities.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            if let Some((config, next)) = certificate(&authorities, &names, tls) {
                due = next;
                sender.send_replace(config);
            }
        }
    });
    Some(configs)
}

fn certificate<P: Purpose>(
    authorities: &watch::Receiver<Ca<P>>,
    names: &[String],
    tls: Tls,
) -> Option<(Arc<ServerConfig>, i64)> {
    let serving = authorities.borrow().serving_certificate(names, now());
    let served = serving
        .map_err(|error| error.to_string())
        .and_then(|serving| Ok((tls(&serving).map_err(|error| error.to_string())?, serving.due)));
    served.inspect_err(|error| tracing::error!(error, ?names, "a port has no certificate")).ok()
}
