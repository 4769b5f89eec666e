// SPDX-License-Identifier: Apache-2.0
//! Whether a request may enter, before its rule says where to: others are asked, tokens are looked for, and policies judge,
//! in the order in which Istio has them. Nothing is done twice where routes are looked at again.

use std::time::Duration;

use tokio::time::Instant;

use crate::answer::Answer;
use crate::client::Client;
use crate::fault::Fault;
use crate::guard::Guard;
use crate::head::{Fields, Head};
use crate::http::auth::{self, Asker, Permission};
use crate::http::conn::Conn;
use crate::http::forwarding;
use crate::http::record::Record;
use crate::http::replay::Replay;
use crate::http::side::Down;
use crate::table::ListenerPlan;
use crate::token::Tokens;

/// A request before its rule.
pub(crate) struct Entry<'e> {
    conn: &'e Conn,
    client: &'e Client,
    is_stamped: bool,
    is_asked: bool,
    /// What was read of its body.
    pub(crate) kept: Option<Replay>,
    /// Fields that somebody who was asked wants in the response.
    pub(crate) fields: Fields,
    /// Others were waited for so long.
    pub(crate) held: Duration,
}

/// What becomes of it.
pub(crate) enum Admission {
    /// It may go on.
    Open,
    /// Routes are to be looked at again: it is not what it was.
    Again,
    /// This is the response.
    Answered(Answer),
}

impl<'e> Entry<'e> {
    /// That of a request of `client`.
    pub(crate) fn new(conn: &'e Conn, client: &'e Client) -> Self {
        let (kept, fields, held) = (None, Fields::default(), Duration::ZERO);
        Self { conn, client, is_stamped: false, is_asked: false, kept, fields, held }
    }

    /// Whether all policies of a listener let it through.
    pub(crate) async fn admitted(
        &mut self,
        (down, head): (&mut Down, &mut Head),
        (guard, listener): (&Guard, Option<&ListenerPlan>),
        record: &mut Record,
    ) -> Result<Admission, Fault> {
        match self.introduced((down, head), (guard, listener), record).await? {
            Admission::Open => {}
            other => return Ok(other),
        }
        let Some(access) = &guard.access else { return Ok(Admission::Open) };
        let judgement = access.judge(&self.conn.facts().with(self.client.address, head));
        self.conn.worker.metrics.judged(&judgement);
        record.judged(&judgement);
        if judgement.is_denial() { Err(Fault::PolicyDenied) } else { Ok(Admission::Open) }
    }

    /// As far as somebody else decides, or knows who asks. They see what backends are told about the client; a rule may
    /// overwrite that later.
    pub(crate) async fn introduced(
        &mut self,
        (down, head): (&mut Down, &mut Head),
        (guard, listener): (&Guard, Option<&ListenerPlan>),
        record: &mut Record,
    ) -> Result<Admission, Fault> {
        if !self.is_stamped {
            forwarding::stamp(head, self.client, &self.conn.address, self.conn.certificate());
            record.stamped(head);
            self.is_stamped = true;
        }
        let mut admission = Admission::Open;
        if let (Some(_), Some(listener), false) = (&guard.authorizers, listener, self.is_asked) {
            self.is_asked = true;
            // Boxed, as what follows: few listeners ask, and every request would carry the room for it.
            admission = Box::pin(self.asked((down, head), (guard, listener), record)).await?;
        }
        if let Some(tokens) = guard.tokens.as_ref().filter(|_| !head.is_authenticated() && !admission.is_answer()) {
            authenticated(tokens, head).await?;
        }
        Ok(admission)
    }

    /// Asks everybody who is to be asked.
    async fn asked(
        &mut self,
        (down, head): (&mut Down, &mut Head),
        (guard, listener): (&Guard, &ListenerPlan),
        record: &mut Record,
    ) -> Result<Admission, Fault> {
        let (Some(access), Some(authorizers)) = (&guard.access, &guard.authorizers) else { return Ok(Admission::Open) };
        let began = Instant::now();
        let mut admission = Admission::Open;
        for (provider, label) in access.asked(&self.conn.facts().with(self.client.address, head)) {
            record.asked(&label);
            // Nobody has said yes.
            let known = authorizers.get(provider).filter(|authorizer| authorizer.backend.is_some());
            let Some(authorizer) = known else { return Err(Fault::Guarded) };
            let (client, followed) = (self.client.address, record.followed());
            let asker = Asker { conn: self.conn, client, listener, deadline: None, followed };
            let permission = auth::ask(asker, down, (head, authorizer), &mut self.kept).await;
            self.conn.worker.metrics.asked(matches!(permission, Ok(Permission::Granted(_))));
            match permission? {
                Permission::Granted(edit) => edit.apply(head, &mut self.fields),
                Permission::Refused(answer) => {
                    record.fault(Fault::AuthDenied);
                    return Ok(Admission::Answered(answer));
                }
            }
            if authorizer.routes_anew() {
                admission = Admission::Again;
            }
        }
        self.held += began.elapsed();
        Ok(admission)
    }
}

impl Admission {
    /// Of a request whose route depends on who asks, which is known now.
    pub(crate) fn known(self) -> Self {
        if self.is_answer() { self } else { Self::Again }
    }

    fn is_answer(&self) -> bool {
        matches!(self, Self::Answered(_))
    }
}

/// Looks for tokens.
async fn authenticated(tokens: &Tokens, head: &mut Head) -> Result<(), Fault> {
    let claims = Box::pin(tokens.authenticate(head)).await?;
    head.authenticated(claims);
    Ok(())
}
