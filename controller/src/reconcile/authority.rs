// SPDX-License-Identifier: Apache-2.0
//! Keeps the authority of the feed in a Secret, so that every replica and every later leader has the same; the leader
//! renews it. What it is made of is [`crate::feed::Ca`]'s.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use crate::cell::put;
use crate::clock::now;
use crate::feed::Ca;
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

    /// The authority; made if there is none. Tries until it succeeds.
    pub async fn authority(&self) -> Ca {
        self.0.value(make, read).await
    }

    /// Follows the Secret, and renews it while this replica leads, until nobody looks.
    pub async fn keep(self, sender: watch::Sender<Ca>, leadership: watch::Receiver<Leadership>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = sender.closed() => return,
            }
            let leads = leadership.borrow().leads();
            match self.renewed(leads).await {
                Ok(ca) => put(&sender, ca),
                Err(why) => tracing::warn!(secret = self.0.name, why, "the feed's authority cannot be looked at"),
            }
        }
    }

    async fn renewed(&self, leads: bool) -> Result<Ca, String> {
        let Some((data, version)) = self.0.read().await? else { return read(&self.0.read_or_make(make).await?) };
        let ca = read(&data)?;
        if !leads || !ca.due(now()) {
            return Ok(ca);
        }
        let next = ca.rotated(now()).map_err(|error| error.to_string())?;
        self.0.replace(next.to_secret(), version).await?;
        tracing::info!(secret = self.0.name, "the feed's authority was renewed");
        Ok(next)
    }
}

fn make() -> Result<Data, String> {
    Ca::new(now()).map(|ca| ca.to_secret()).map_err(|error| error.to_string())
}

fn read(data: &Data) -> Result<Ca, String> {
    Ca::from_secret(data).map_err(|error| error.to_string())
}
