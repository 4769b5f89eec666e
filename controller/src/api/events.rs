// SPDX-License-Identifier: Apache-2.0
//! One list and the watch that goes on from it, again and again; each failure is told once. Begins with a stream of
//! initial events (KEP-3157): the API server answers it from its cache of watches, where a list in pages is read and
//! decoded out of the store. The version it is asked for is empty, which means as new as the store; `0` might be old.
//!
//! A server that knows no such streams is asked for pages at once. One that ends a stream before the list ends, is quiet
//! in it for [`QUIET`], or says what cannot be read, has failed: that is told, and pages are asked for after the pause.
//! Either is asked for pages for [`PAGES`] from then on. So however many objects there are, no list begins for ever:
//! a page has no deadline but the silence of its connection.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// Seconds after which the API server ends a watch, with initial events or without; the next goes on where it ended. Well
/// before a connection that is silent is given up. Some hundred thousand objects are streamed in so long.
const WATCH: u32 = 29;
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
    /// Initial events come.
    Initial(Stream<K>),
    /// Objects of a page, and where the next begins.
    Pages { objects: std::vec::IntoIter<K>, after: After },
    /// All was told up to this version.
    Listed(String),
    /// Changes come.
    Watching { stream: Stream<K>, version: String },
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
                State::Initial(stream) => self.initial(stream).await?,
                State::Pages { objects, after } => self.page(objects, after).await?,
                State::Listed(version) => self.watch(version).await?,
                State::Watching { stream, version } => self.watching(stream, version).await?,
            };
            if let Some(event) = told {
                return Ok(event);
            }
        }
    }

    async fn begin(&mut self) -> Result<Option<Event<K>>, Error> {
        if self.refused.is_some_and(|refused| refused.elapsed() < PAGES) {
            return Ok(Some(self.pages()));
        }
        match self.api.watch(&self.params().initial_events(), "").await {
            Ok(stream) => {
                self.state = State::Initial(stream.boxed());
                Ok(Some(Event::Init))
            }
            // It knows no such streams, or has them turned off. A right that misses is missed by a list too.
            Err(kube::Error::Api(status)) if [400, 403, 405, 422].contains(&status.code) => {
                self.refuse();
                Ok(Some(self.pages()))
            }
            Err(error) => Err(Error::WatchStartFailed(error)),
        }
    }

    fn pages(&mut self) -> Event<K> {
        self.state = State::Pages { objects: Vec::new().into_iter(), after: After::Page(None) };
        Event::Init
    }

    async fn initial(&mut self, mut stream: Stream<K>) -> Result<Option<Event<K>>, Error> {
        let event = tokio::time::timeout(QUIET, stream.next()).await;
        let told = match event.unwrap_or_else(|_| Some(Err(broken(ErrorKind::TimedOut)))) {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => Some(Event::InitApply(object)),
            Some(Ok(WatchEvent::Bookmark(mark))) if mark.metadata.annotations.contains_key(END) => {
                self.state = State::Watching { stream, version: mark.metadata.resource_version };
                return Ok(Some(Event::InitDone));
            }
            Some(Ok(WatchEvent::Bookmark(_))) => None,
            // What was told would have to be taken back, and pages say so; the server did nothing wrong.
            Some(Ok(WatchEvent::Deleted(_))) => return Ok(Some(self.pages())),
            Some(Ok(WatchEvent::Error(status))) => return Err(self.failed(Error::WatchError(status))),
            Some(Err(error)) => return Err(self.failed(Error::WatchFailed(error))),
            None => return Err(self.failed(Error::WatchFailed(broken(ErrorKind::UnexpectedEof)))),
        };
        self.state = State::Initial(stream);
        Ok(told)
    }

    fn refuse(&mut self) {
        self.refused = Some(Instant::now());
    }

    /// Whatever comes next begins with pages.
    fn failed(&mut self, error: Error) -> Error {
        self.refuse();
        error
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
        match self.api.watch(&self.params(), &version).await {
            Ok(stream) => {
                self.state = State::Watching { stream: stream.boxed(), version };
                Ok(None)
            }
            Err(error) => {
                self.state = State::Listed(version);
                Err(Error::WatchStartFailed(error))
            }
        }
    }

    async fn watching(&mut self, mut stream: Stream<K>, version: String) -> Result<Option<Event<K>>, Error> {
        let (told, version) = match stream.next().await {
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
        self.state = State::Watching { stream, version };
        Ok(told)
    }

    fn params(&self) -> WatchParams {
        WatchParams {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            timeout: Some(WATCH),
            ..WatchParams::default()
        }
    }
}

fn broken(why: ErrorKind) -> kube::Error {
    kube::Error::ReadEvents(why.into())
}

fn version_of(object: &impl ResourceExt) -> Result<String, Error> {
    object.resource_version().filter(|version| !version.is_empty()).ok_or(Error::NoResourceVersion)
}
