// SPDX-License-Identifier: Apache-2.0
//! What is told of one request, or of one time that somebody was asked on its behalf. Kept as it is until it is sent: a
//! worker formats nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::attributes::{self, Attribute};
use super::followed::{Request, Served, Tried};
use super::ids::{SpanId, TraceId};
use super::tracer::Tracer;
use crate::fault::Source;
use crate::observe::MethodLabel;

/// On which side of an exchange it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of who was asked.
    Server,
    /// Of who asked.
    Client,
}

/// One span.
#[derive(Debug)]
pub(crate) struct Span {
    /// Who is told of it, and what every span says.
    pub(crate) tracer: Arc<Tracer>,
    /// The trace that it belongs to.
    pub(crate) trace: TraceId,
    /// Its own id.
    pub(crate) id: SpanId,
    /// What it follows from.
    pub(crate) parent: Option<SpanId>,
    /// `tracestate`.
    pub(crate) state: Option<Box<str>>,
    /// When it began.
    pub(crate) start: SystemTime,
    /// When it was over.
    pub(crate) end: SystemTime,
    pub(super) about: About,
}

/// What it is about.
#[derive(Debug)]
pub(super) enum About {
    /// A request of a client.
    Request { request: Request, served: Served },
    /// A request of our own.
    Try { tried: Tried, method: Box<str>, authority: Box<str>, path: Box<str>, tags: Option<Arc<[Option<Box<str>>]>> },
}

impl Span {
    /// On which side it is.
    pub(crate) fn kind(&self) -> Kind {
        match self.about {
            About::Request { .. } => Kind::Server,
            About::Try { .. } => Kind::Client,
        }
    }

    /// `{method} {route}` where there is a route, else the method; never a text of the client.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        match &self.about {
            About::Request { request, served } => {
                let method = method(&request.method);
                match served.nouns.as_ref().and_then(|nouns| nouns.route.as_ref()) {
                    Some(route) => format!("{method} {}/{}", route.namespace, route.name).into(),
                    None => method.into(),
                }
            }
            About::Try { tried, .. } if tried.is_question => "ext_authz".into(),
            About::Try { method: of, .. } => method(of).into(),
        }
    }

    /// Why it counts as failed: it did not go as it should have, and not because of who asked. To a proxy a 404 of a backend
    /// is an answer like others.
    pub(crate) fn error(&self) -> Option<Cow<'static, str>> {
        let (status, fault) = match &self.about {
            About::Request { served, .. } => (served.status, served.fault),
            About::Try { tried, .. } => (tried.status, tried.fault),
        };
        match fault {
            Some(fault) if status >= 500 || matches!(fault.source(), Source::Gateway | Source::Upstream) => {
                Some(fault.reason().into())
            }
            _ => (status >= 500).then(|| status.to_string().into()),
        }
    }

    /// All that it says.
    pub(crate) fn attributes(&self) -> Vec<Attribute<'_>> {
        let mut all = match &self.about {
            About::Request { request, served } => attributes::of_request(request, served),
            About::Try { tried, method, authority, path, .. } => attributes::of_try(tried, (method, authority, path)),
        };
        all.extend(self.error().map(|error| ("error.type", error.into())));
        let tags = match &self.about {
            About::Request { request, .. } => &request.tags,
            About::Try { tags, .. } => tags,
        };
        for (name, value) in self.tracer.said(tags.as_deref()) {
            // What people say goes before what is said anyway: a name is there once.
            all.retain(|(before, _)| *before != name);
            all.push((name, value.into()));
        }
        all
    }
}

/// A method as span names write it.
fn method(method: &str) -> &'static str {
    match MethodLabel::of(method).as_str() {
        "OTHER" => "HTTP",
        known => known,
    }
}
