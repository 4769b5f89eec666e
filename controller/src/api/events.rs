// SPDX-License-Identifier: Apache-2.0
//! One list and the watch that goes on from it, again and again; each failure is told once. Begins with a stream of
//! initial events (KEP-3157): the API server answers it from its cache of watches, where a list in pages is read and
//! decoded out of the store. The version it is asked for is empty, which means as new as the store; `0` might be old.
//!
//! A server that refuses such a stream, ends it early, is quiet in it for [`QUIET`], says what cannot be read, or has not
//! come to its end within [`LISTING`] is asked for pages at once, and for [`PAGES`] from then on. So however many
//! objects there are, no list begins for ever: a page has no deadline but the silence of its connection.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// Seconds after which the API server ends a watch; the next goes on where it ended. Well before a connection that is
/// silent is given up.
const WATCH: u32 = 29;
/// Seconds that all initial events may take: more than a watch, for there may be hundreds of thousands.
const LISTING: u32 = 60;
/// So long no initial event, nor the bookmark that ends them, may come.
const QUIET: Duration = Duration::from_secs(10);
/// So long a server that did not stream a list is asked for pages; it may be another one after that.
const PAGES: Duration = Duration::from_mins(10);
/// The annotation of the bookmark after the last initial event.
const END: &str = "k8s.io/initial-events-end";

type Stream<K> = BoxStream<'static, Result<WatchEvent<K>, kube::Error>>;

enum State<K> {
    /// Nothing is known.
    Empty,
    /// Initial events come until then at the latest.
    Initial { stream: Stream<K>, until: Instant },
    /// Objects of a page, and where the next begins.
    Pages { objects: std::vec::IntoIter<K>, after: After },
    /// All was told up to this version.
    Listed(String),
    /// Changes come; if the stream began with initial events, it is left then.
    Watching { stream: Stream<K>, version: String, until: Option<Instant> },
}

/// What comes after a page.
enum After {
    Page(Option<String>),
    Version(String),
}

/// The events of one kind.
pub(super) struct Events<K> {
    api: Api<K>,
    config: Config,
    state: State<K>,
    /// When the server last did not stream a list.
    refused: Option<Instant>,
}

impl<K: Resource + Clone + DeserializeOwned + Debug + Send + 'static> Events<K> {
    pub(super) fn new(api: Api<K>, config: Config) -> Self {
        Self { api, config, state: State::Empty, refused: None }
    }

    /// What comes next begins with a list.
    pub(super) fn restart(&mut self) {
        self.state = State::Empty;
    }

    /// The next event, or why there is none; after a failure it goes on where it can.
    pub(super) async fn next(&mut self) -> Result<Event<K>, Error> {
        loop {
            // Whatever fails leaves what it says here, or nothing.
            let told = match std::mem::replace(&mut self.state, State::Empty) {
                State::Empty => self.begin().await?,
                State::Initial { stream, until } => self.initial(stream, until).await?,
                State::Pages { objects, after } => self.page(objects, after).await?,
                State::Listed(version) => self.watch(version).await?,
                State::Watching { stream, version, until } => self.watching(stream, version, until).await?,
            };
            if let Some(event) = told {
                return Ok(event);
            }
        }
    }

    async fn begin(&mut self) -> Result<Option<Event<K>>, Error> {
        if self.refused.is_some_and(|refused| refused.elapsed() < PAGES) {
            return Ok(self.pages());
        }
        let until = Instant::now() + Duration::from_secs(LISTING.into());
        match self.api.watch(&self.params(LISTING).initial_events(), "").await {
            Ok(stream) => {
                self.state = State::Initial { stream: stream.boxed(), until };
                Ok(Some(Event::Init))
            }
            // It knows no such streams, or has them turned off. A right that misses is missed by a list too.
            Err(kube::Error::Api(status)) if [400, 403, 405, 422].contains(&status.code) => Ok(self.in_pages()),
            Err(error) => Err(Error::WatchStartFailed(error)),
        }
    }

    /// Begins anew, and with pages for a while.
    fn in_pages(&mut self) -> Option<Event<K>> {
        self.refused = Some(Instant::now());
        self.pages()
    }

    fn pages(&mut self) -> Option<Event<K>> {
        self.state = State::Pages { objects: Vec::new().into_iter(), after: After::Page(None) };
        Some(Event::Init)
    }

    async fn initial(&mut self, mut stream: Stream<K>, until: Instant) -> Result<Option<Event<K>>, Error> {
        let event = tokio::time::timeout_at(until.min(Instant::now() + QUIET).into(), stream.next()).await;
        let told = match event {
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => Some(Event::InitApply(object)),
            Ok(Some(Ok(WatchEvent::Bookmark(mark)))) if mark.metadata.annotations.contains_key(END) => {
                // The server would go on for longer than a silent connection is waited for.
                let until = Some(Instant::now() + Duration::from_secs(WATCH.into()));
                self.state = State::Watching { stream, version: mark.metadata.resource_version, until };
                return Ok(Some(Event::InitDone));
            }
            Ok(Some(Ok(WatchEvent::Bookmark(_)))) => None,
            // What was told would have to be taken back, and pages say so; the server did nothing wrong.
            Ok(Some(Ok(WatchEvent::Deleted(_)))) => return Ok(self.pages()),
            Ok(Some(Ok(WatchEvent::Error(status)))) if ![400, 403, 405, 422].contains(&status.code) => {
                return Err(Error::WatchError(status));
            }
            Ok(Some(Ok(WatchEvent::Error(_)) | Err(_)) | None) | Err(_) => return Ok(self.in_pages()),
        };
        self.state = State::Initial { stream, until };
        Ok(told)
    }

    async fn page(&mut self, mut objects: std::vec::IntoIter<K>, after: After) -> Result<Option<Event<K>>, Error> {
        if let Some(object) = objects.next() {
            self.state = State::Pages { objects, after };
            return Ok(Some(Event::InitApply(object)));
        }
        let begin = match after {
            After::Version(version) => {
                self.state = State::Listed(version);
                return Ok(Some(Event::InitDone));
            }
            After::Page(begin) => begin,
        };
        let params = ListParams {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            limit: self.config.page_size,
            continue_token: begin,
            ..ListParams::default()
        };
        let list = self.api.list(&params).await.map_err(Error::InitialListFailed)?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        let after = match (next, list.metadata.resource_version.filter(|version| !version.is_empty())) {
            (Some(next), _) => After::Page(Some(next)),
            (None, Some(version)) => After::Version(version),
            (None, None) => return Err(Error::NoResourceVersion),
        };
        self.state = State::Pages { objects: list.items.into_iter(), after };
        Ok(None)
    }

    async fn watch(&mut self, version: String) -> Result<Option<Event<K>>, Error> {
        match self.api.watch(&self.params(WATCH), &version).await {
            Ok(stream) => {
                self.state = State::Watching { stream: stream.boxed(), version, until: None };
                Ok(None)
            }
            Err(error) => {
                self.state = State::Listed(version);
                Err(Error::WatchStartFailed(error))
            }
        }
    }

    async fn watching(
        &mut self,
        mut stream: Stream<K>,
        version: String,
        until: Option<Instant>,
    ) -> Result<Option<Event<K>>, Error> {
        let event = match until {
            Some(until) => tokio::time::timeout_at(until.into(), stream.next()).await.unwrap_or_default(),
            None => stream.next().await,
        };
        let (told, version) = match event {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                let version = version_of(&object)?;
                (Some(Event::Apply(object)), version)
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                let version = version_of(&object)?;
                (Some(Event::Delete(object)), version)
            }
            Some(Ok(WatchEvent::Bookmark(mark))) => (None, mark.metadata.resource_version),
            Some(Ok(WatchEvent::Error(status))) => return Err(Error::WatchError(status)),
            Some(Err(error)) => {
                self.state = State::Listed(version);
                return Err(Error::WatchFailed(error));
            }
            None => {
                self.state = State::Listed(version);
                return Ok(None);
            }
        };
        self.state = State::Watching { stream, version, until };
        Ok(told)
    }

    fn params(&self, seconds: u32) -> WatchParams {
        WatchParams {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            timeout: Some(seconds),
            ..WatchParams::default()
        }
    }
}

fn version_of(object: &impl ResourceExt) -> Result<String, Error> {
    object.resource_version().filter(|version| !version.is_empty()).ok_or(Error::NoResourceVersion)
}
