// SPDX-License-Identifier: Apache-2.0
//! All objects of a kind: a list, then every change, for as long as anybody asks ([`Events`]); and what holds for them:
//!
//! * A connection that went silent is noticed within [`SILENCE`]: every watch is asked anew more often than that.
//! * Versions of one watch rise. What comes twice is told once; what comes out of order is not told, and a new list says
//!   what is true. A version that is lower after a new list is no fault: the store may have been restored.
//! * Whatever cannot be read on a watch may have been a change: a new list says which. So does one after the API server
//!   could not be reached or refused a watch, for another store may be behind it; not after 429, where a list is worse.
//! * Pauses end soon enough after an outage, and are as long as the server asks for ([`Pauses`]).

use std::fmt::Debug;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use futures_util::{Stream, stream};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::events::Events;
use super::pause::Pauses;
use super::{causes, retry_after};

/// A connection to the API server on which nothing came for so long is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(33);
/// Failures that are so far apart are not in a row.
const ROW: Duration = Duration::from_mins(1);

/// Why nothing is known for a while; it goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Interruption(String);

/// Every object of `api`, then every change.
pub(crate) fn changes<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, Interruption>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let changes = Changes {
        events: Events::new(api, config),
        order: Order::default(),
        pauses: Pauses::default(),
        pause: None,
        failed: Instant::now(),
    };
    stream::unfold(changes, async |mut changes| Some((changes.next().await, changes)))
}

struct Changes<K> {
    events: Events<K>,
    order: Order,
    pauses: Pauses,
    pause: Option<Duration>,
    failed: Instant,
}

impl<K: Resource + Clone + DeserializeOwned + Debug + Send + 'static> Changes<K> {
    async fn next(&mut self) -> Result<Event<K>, Interruption> {
        loop {
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
            match self.events.next().await {
                Ok(event) => match self.order.judge(&event) {
                    Judgement::News => return Ok(event),
                    Judgement::Known => {}
                    Judgement::Disorder(why) => return Err(self.interrupted(why, true, None)),
                },
                Err(error) => {
                    let asked = cause(&error).and_then(retry_after);
                    return Err(self.interrupted(causes(&error), loses(&error), asked));
                }
            }
        }
    }

    fn interrupted(&mut self, why: String, anew: bool, asked: Option<Duration>) -> Interruption {
        if anew {
            self.events.restart();
        }
        if self.failed.elapsed() > ROW {
            self.pauses.calm();
        }
        self.failed = Instant::now();
        self.pause = Some(self.pauses.next(asked, fastrand::f64()));
        Interruption(why)
    }
}

/// What the API server said, if it did.
fn cause(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(error),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    }
}

/// Whether going on where it ended could leave something out.
fn loses(error: &watcher::Error) -> bool {
    match error {
        // A connection broke: the next watch begins where this one ended.
        watcher::Error::WatchFailed(kube::Error::ReadEvents(_)) => false,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code != 429,
        _ => true,
    }
}

/// What an event is to whoever saw those before.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    News,
    Known,
    Disorder(String),
}

/// An object by its namespace and name.
type Name = (String, String);

/// The versions of all objects of a kind. Versions are numbers that rise (KEP-5504); what has none is always news.
#[derive(Debug, Default)]
struct Order {
    now: HashMap<Name, u64>,
    listing: HashMap<Name, u64>,
    newest: u64,
}

impl Order {
    fn judge<K: Resource>(&mut self, event: &Event<K>) -> Judgement {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                if let Some((name, version)) = version(object) {
                    self.listing.insert(name, version);
                }
            }
            Event::InitDone => {
                self.now = std::mem::take(&mut self.listing);
                self.newest = self.now.values().copied().max().unwrap_or_default();
            }
            Event::Apply(object) => return self.changed(object, false),
            Event::Delete(object) => return self.changed(object, true),
        }
        Judgement::News
    }

    fn changed<K: Resource>(&mut self, object: &K, is_gone: bool) -> Judgement {
        let Some((name, version)) = version(object) else { return Judgement::News };
        let known = self.now.get(&name).copied();
        if known == Some(version) && !is_gone || known.is_none() && is_gone && version <= self.newest {
            return Judgement::Known;
        }
        if version < self.newest || known.is_none() && version == self.newest {
            let (namespace, name) = name;
            return Judgement::Disorder(format!("{namespace}/{name} came out of order"));
        }
        self.newest = version;
        if is_gone {
            self.now.remove(&name)
        } else {
            self.now.insert(name, version)
        };
        Judgement::News
    }
}

fn version<K: Resource>(object: &K) -> Option<(Name, u64)> {
    let version = object.resource_version()?.parse().ok()?;
    Some(((object.namespace().unwrap_or_default(), object.name_any()), version))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let metadata = serde_json::json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version}});
        serde_json::from_value(metadata).unwrap()
    }

    /// After a list of `a` in version 5 and `b` in version 9.
    fn listed() -> Order {
        let mut order = Order::default();
        for event in
            [Event::Init, Event::InitApply(object("b", "9")), Event::InitApply(object("a", "5")), Event::InitDone]
        {
            assert_eq!(order.judge(&event), Judgement::News);
        }
        order
    }

    /// `+a10`: a was changed in version 10; `-a11`: it was deleted in version 11. N: news, K: known, D: disorder.
    fn judged(order: &mut Order, events: &str) -> String {
        let judge = |event: &str| {
            let object = object(&event[1..2], &event[2..]);
            let event = if event.starts_with('-') { Event::Delete(object) } else { Event::Apply(object) };
            match order.judge(&event) {
                Judgement::News => 'N',
                Judgement::Known => 'K',
                Judgement::Disorder(_) => 'D',
            }
        };
        events.split(' ').map(judge).collect()
    }

    #[test]
    fn what_comes_twice_is_told_once_and_what_is_late_never() {
        for (events, expected) in [
            ("+a10 +b11 -a12 +a13 -b14", "NNNNN"),
            ("+a10 +a10 -a11 -a11", "NKNK"),
            // Swapped, of one object and of two.
            ("+a11 +a10", "ND"),
            ("+a11 +b10", "ND"),
            // Long known.
            ("+a5 +b9 +a4", "KKD"),
            // A deletion of before it was made again, and a change of before it was deleted.
            ("-a10 +a12 -a10", "NND"),
            ("-a12 +a10", "ND"),
            ("+c12 -c11", "ND"),
            // Made and deleted before the list.
            ("-c7 +c6", "KD"),
        ] {
            assert_eq!(judged(&mut listed(), events), expected, "{events}");
        }
    }

    #[test]
    fn a_new_list_may_be_older_and_versions_that_are_no_numbers_are_always_news() {
        let mut order = listed();
        for event in [Event::Init, Event::InitApply(object("a", "2")), Event::InitDone] {
            assert_eq!(order.judge(&event), Judgement::News);
        }
        assert_eq!(judged(&mut order, "+a3 +b4 +b4"), "NNK");
        assert_eq!(judged(&mut order, "+ax +ax"), "NN");
    }

    #[test]
    fn only_where_nothing_can_be_missing_a_watch_goes_on() {
        let said = |code| kube::Error::Api(Status::failure("why", "").with_code(code).boxed());
        let garbage = || kube::Error::SerdeError(serde_json::from_str::<u8>("x").unwrap_err());
        let broken = || kube::Error::ReadEvents(std::io::ErrorKind::TimedOut.into());
        assert!(!loses(&watcher::Error::WatchFailed(broken())));
        assert!(!loses(&watcher::Error::WatchStartFailed(said(429))));
        for error in [
            watcher::Error::WatchFailed(garbage()),
            watcher::Error::WatchStartFailed(broken()),
            watcher::Error::WatchStartFailed(said(410)),
            watcher::Error::WatchStartFailed(said(504)),
            watcher::Error::WatchError(Status::failure("why", "").with_code(500).boxed()),
        ] {
            assert!(loses(&error), "{error}");
        }
    }
}
