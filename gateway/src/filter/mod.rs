// SPDX-License-Identifier: Apache-2.0
//! What a rule does to a request or a response besides forwarding it: a flat catalogue, one file a filter.
//!
//! A filter edits a head or answers; it opens no connection. Adding one is adding a file and a match arm here.

mod path;

mod made;

mod headers;

mod redirect;

mod rewrite;

mod mirror;

mod cors;

mod external_auth;

mod respond;

mod faults;

mod check;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use torana_ir::{BackendKey, Filter, PathMode, Target};

use crate::answer::Answer;
use crate::fault::Fault;
use crate::head::{Fields, Head, ResponseHead};

pub use cors::Cors;
pub use external_auth::{Circumstances, Edit, ExternalAuth, Question, Reply, Ruling};
pub use faults::{Abort, Delay};
pub use headers::{RequestHeaders, ResponseHeaders};
pub use made::Scene;
pub use mirror::{Copied, Mirror, shadow};
pub use redirect::Redirect;
pub use respond::Respond;
pub use rewrite::Rewrite;

/// What is to be done after a filter. `B` is a backend.
#[derive(Debug)]
pub enum Verdict<B> {
    /// The request goes on.
    Continue,
    /// This is the response; nothing is forwarded.
    Respond(Answer, By),
    /// Nothing is forwarded, and the client is told of this.
    Fail(Fault),
    /// Somebody else is to be asked. With a yes the chain goes on from this step.
    Ask(Arc<ExternalAuth<B>>, usize),
    /// The request waits so long; then the chain goes on from this step.
    Wait(Duration, usize),
}

/// Which filter answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A redirect.
    Redirect,
    /// A direct response.
    Direct,
    /// CORS, to a preflight.
    Cors,
}

/// What filters need to know about a request besides its head.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext {
    /// Bytes of the path that the route's match covered; a rewrite moves it.
    pub prefix_len: usize,
    /// Uniform randomness of this request.
    pub random: u64,
}

/// What filters leave behind for later stages of one request. `B` is a backend.
#[derive(Debug, Clone)]
pub struct Notes<B> {
    /// Backends that get a copy of the request.
    pub mirrors: SmallVec<[Copied<B>; 2]>,
    /// Fields that an authorization server wants in the response.
    pub fields: Fields,
    /// The request's `Origin`, kept for the response; only if a CORS filter is there.
    pub origin: Option<Box<[u8]>>,
    /// What fields are made of; only for rules that make some.
    pub scene: Option<Box<Scene>>,
}

impl<B> Default for Notes<B> {
    fn default() -> Self {
        Self { mirrors: SmallVec::new(), fields: Fields::default(), origin: None, scene: None }
    }
}

/// The filters of a rule or of a backend reference, compiled, in the user's order.
#[derive(Debug)]
pub struct Chain<B> {
    steps: Box<[Step<B>]>,
}

#[derive(Debug)]
enum Step<B> {
    RequestHeaders(RequestHeaders),
    ResponseHeaders(ResponseHeaders),
    Redirect(Redirect),
    Rewrite(Rewrite),
    Mirror(Mirror<B>),
    Cors(Cors),
    ExternalAuth(Arc<ExternalAuth<B>>),
    Respond(Respond),
    Delay(Delay),
    Abort(Abort),
}

impl<B: Clone> Chain<B> {
    /// Compiles `filters` for a listener on that port with paths of that mode; `resolve` finds mirrored backends (an
    /// unknown one mirrors nothing).
    pub fn compile<F>(filters: &[Filter], listener: (u16, PathMode), resolve: F) -> Self
    where
        F: Fn(&BackendKey) -> Option<B>,
    {
        let steps = filters.iter().filter_map(|filter| {
            Some(match filter {
                Filter::RequestHeaders(edit) => Step::RequestHeaders(RequestHeaders::compile(edit)),
                Filter::ResponseHeaders(edit) => Step::ResponseHeaders(ResponseHeaders::compile(edit)),
                Filter::Redirect(redirect) => Step::Redirect(Redirect::compile(redirect, listener)),
                Filter::Rewrite(rewrite) => Step::Rewrite(Rewrite::compile(rewrite, listener.1)),
                Filter::Cors(cors) => Step::Cors(Cors::compile(cors)),
                Filter::Respond(response) => Step::Respond(Respond::compile(response)),
                Filter::Delay(delay) => Step::Delay(Delay::compile(delay)),
                Filter::Abort(abort) => Step::Abort(Abort::compile(abort)),
                Filter::ExternalAuth(auth) => Step::ExternalAuth(Arc::new(ExternalAuth::compile(
                    auth,
                    if let Target::Backend(key) = &auth.target { resolve(key) } else { None },
                ))),
                Filter::Mirror(mirror) => match &mirror.target {
                    Target::Backend(key) => Step::Mirror(Mirror::compile(mirror, resolve(key)?)),
                    Target::Invalid(_) => return None,
                },
            })
        });
        Self { steps: steps.collect() }
    }

    /// Applies what concerns the request, beginning with step `from`. `notes` takes what later stages need.
    pub fn on_request(
        &self,
        from: usize,
        head: &mut Head,
        context: &mut RequestContext,
        notes: &mut Notes<B>,
    ) -> Verdict<B> {
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            match step {
                Step::RequestHeaders(filter) => filter.apply(head, notes.scene.as_deref()),
                Step::ResponseHeaders(_) => {}
                Step::Redirect(filter) => {
                    return match filter.apply(head, context.prefix_len) {
                        Ok(answer) => Verdict::Respond(answer, By::Redirect),
                        Err(reject) => Verdict::Fail(Fault::Rejected(reject)),
                    };
                }
                Step::Rewrite(filter) => {
                    if let Err(reject) = filter.apply(head, context) {
                        return Verdict::Fail(Fault::Rejected(reject));
                    }
                }
                Step::Respond(filter) => return Verdict::Respond(filter.apply(), By::Direct),
                Step::Delay(filter) => {
                    if let Some(time) = filter.apply(mixed(context.random, at as u64)) {
                        return Verdict::Wait(time, at + 1);
                    }
                }
                Step::Abort(filter) => {
                    if let Some(fault) = filter.apply(mixed(context.random, at as u64)) {
                        return Verdict::Fail(fault);
                    }
                }
                Step::Mirror(filter) => notes.mirrors.extend(filter.apply(mixed(context.random, at as u64)).cloned()),
                Step::ExternalAuth(filter) => return Verdict::Ask(Arc::clone(filter), at + 1),
                Step::Cors(filter) => {
                    if let Some(answer) = filter.preflight(head) {
                        return Verdict::Respond(answer, By::Cors);
                    }
                    notes.origin = head.fields.first("origin").map(Box::from);
                }
            }
        }
        Verdict::Continue
    }

    /// Applies what concerns the response.
    pub fn on_response(&self, notes: &Notes<B>, head: &mut ResponseHead) {
        for step in &self.steps {
            match step {
                Step::ResponseHeaders(filter) => filter.apply(head, notes.scene.as_deref()),
                Step::Cors(filter) => filter.apply(notes.origin.as_deref(), head),
                Step::RequestHeaders(_)
                | Step::Redirect(_)
                | Step::Rewrite(_)
                | Step::Mirror(_)
                | Step::ExternalAuth(_)
                | Step::Respond(_)
                | Step::Delay(_)
                | Step::Abort(_) => {}
            }
        }
    }

    /// No filter at all.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Backends that may get copies.
    pub fn mirrored(&self) -> impl Iterator<Item = &B> {
        self.steps.iter().filter_map(|step| if let Step::Mirror(mirror) = step { Some(mirror.backend()) } else { None })
    }
}

/// Independent randomness for each step of one request (splitmix64).
fn mixed(random: u64, step: u64) -> u64 {
    let mut z = random.wrapping_add((step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
