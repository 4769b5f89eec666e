// SPDX-License-Identifier: Apache-2.0
//! A service that puts and removes records: one POST of JSON each. Is never spoken to in cleartext on another machine.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::error::DnsError;
use super::{Action, excerpt};
use crate::acme::service::{Answer, Call, CallError, Service};

/// Of all of it, from the name of the host to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A service that puts and removes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook(pub Service);

/// What is posted.
#[derive(Serialize)]
struct Order<'a> {
    action: &'static str,
    fqdn: &'a str,
    value: &'a str,
    /// The service finds it by itself.
    zone: Option<&'a str>,
}

impl Webhook {
    pub(super) async fn perform(&self, action: Action, fqdn: &str, value: &str) -> Result<(), DnsError> {
        self.run(action, fqdn, value, DEADLINE).await
    }

    async fn run(&self, action: Action, fqdn: &str, value: &str, limit: Duration) -> Result<(), DnsError> {
        let verb = match action {
            Action::Present => "present",
            Action::CleanUp => "cleanup",
        };
        let settings = |why: String| DnsError::Settings { what: "webhook", why };
        let order = Order { action: verb, fqdn, value, zone: None };
        let order = serde_json::to_vec(&order).map_err(|error| settings(error.to_string()))?;
        let failed = |why| DnsError::Webhook { url: self.0.shown(), what: format!("{verb} {fqdn}"), why };
        let call = Call { body: Some(order.into()), query: None, in_cleartext: false };
        match self.0.call(call, limit).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(failed(said(&answer))),
            Err(CallError::Failed(why)) => Err(failed(why)),
            Err(CallError::Settings(why)) => Err(settings(why)),
        }
    }
}

fn said(Answer { status, text }: &Answer) -> String {
    let hint = match *status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; are its credentials among the headers?",
        _ if status.is_redirection() => "; redirects are not followed, configure where it is",
        _ => "",
    };
    format!("it answers {status}: {}{hint}", excerpt::line(text))
}

#[cfg(test)]
mod tests;
