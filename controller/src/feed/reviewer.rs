// SPDX-License-Identifier: Apache-2.0
//! Asks the API server whose a token for one audience is, every time: what it said before counts for nothing here.

use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;

use super::identity::{Account, Accounts, PodIdentity, Refusal};
use super::token;
use crate::api::within;

/// Of one question.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reviews of tokens by the API server.
#[derive(Clone)]
pub struct Reviewer {
    client: kube::Client,
    audience: &'static str,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// Who shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    account: Account,
    /// Name and uid of the pod that the token is bound to.
    pod: Option<(String, String)>,
}

impl Bearer {
    pub(super) fn pod(self) -> Result<PodIdentity, Refusal> {
        let Account { namespace, name: service_account } = self.account;
        let (pod_name, pod_uid) = self.pod.ok_or_else(|| Refusal::Invalid("it is not bound to a pod".to_owned()))?;
        Ok(PodIdentity { namespace, service_account, pod_name, pod_uid })
    }
}

impl Reviewer {
    /// Asks the API server of `client`, which may create TokenReviews; only tokens for `audience` are good.
    pub fn new(client: kube::Client, audience: &'static str) -> Self {
        Self { client, audience }
    }

    /// What comes of a review; an error is that the API server says nothing.
    pub(super) async fn review(&self, token: &str) -> Result<Result<Bearer, Refusal>, String> {
        if token.len() > token::LONGEST {
            return Ok(Err(Refusal::Invalid("it is too long".to_owned())));
        }
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { metadata: ObjectMeta::default(), spec, status: None };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let (how, asked) = (PostParams::default(), Instant::now());
        let answer = within(DEADLINE, reviews.create(&how, &review)).await;
        tracing::debug!(took = ?asked.elapsed(), "a token was reviewed");
        let answer = answer.map_err(|failure| failure.to_string())?;
        let status = answer.status.ok_or_else(|| "the review has no status".to_owned())?;
        Ok(judged(status, self.audience))
    }
}

impl Accounts for Reviewer {
    async fn account(&self, token: &str) -> Result<Account, Refusal> {
        let judged = self.review(token).await.map_err(Refusal::Unknown)?;
        judged.map(|bearer| bearer.account)
    }
}

/// Whose token it is by a review.
fn judged(status: TokenReviewStatus, audience: &str) -> Result<Bearer, Refusal> {
    let invalid = |why: &str| Err(Refusal::Invalid(why.to_owned()));
    if status.authenticated != Some(true) {
        return invalid(&status.error.unwrap_or_else(|| "nobody knows it".to_owned()));
    }
    // A server that does not know audiences names none.
    if !status.audiences.unwrap_or_default().iter().any(|its| its == audience) {
        return invalid("it is for another audience");
    }
    let user = status.user.unwrap_or_default();
    let account = user.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:"));
    let Some((namespace, name)) = account.and_then(|account| account.split_once(':')) else {
        return invalid("it is of no service account");
    };
    if !is_name(namespace) || !is_name(name) {
        return invalid("its service account has no name of Kubernetes");
    }
    let account = Account { namespace: namespace.to_owned(), name: name.to_owned() };
    Ok(Bearer { account, pod: bound(&user, "pod-name").zip(bound(&user, "pod-uid")) })
}

fn bound(user: &UserInfo, name: &str) -> Option<String> {
    user.extra.as_ref()?.get(&format!("authentication.kubernetes.io/{name}"))?.first().cloned()
}

/// Names of namespaces and service accounts are those of DNS: they may stand in a URI as they are.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "an-audience";

    fn status() -> TokenReviewStatus {
        let extra = [("pod-name", "edge-1"), ("pod-uid", "u")];
        let extra = extra.map(|(name, value)| (format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]));
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![AUDIENCE.to_owned()]),
            user: Some(UserInfo { extra: Some(extra.into()), ..user("system:serviceaccount:n:edge") }),
            error: None,
        }
    }

    fn user(name: &str) -> UserInfo {
        UserInfo { username: Some(name.to_owned()), ..UserInfo::default() }
    }

    #[test]
    fn a_review_tells_the_account_and_the_pod() {
        let bearer = judged(status(), AUDIENCE).unwrap();
        assert_eq!(bearer.account.to_string(), "n/edge");
        let PodIdentity { namespace, service_account, pod_name, pod_uid } = bearer.pod().unwrap();
        assert_eq!([namespace, service_account, pod_name, pod_uid], ["n", "edge", "edge-1", "u"]);
    }

    #[test]
    fn a_token_that_is_bound_to_no_pod_is_of_its_account_and_of_no_pod() {
        let unbound = TokenReviewStatus { user: Some(user("system:serviceaccount:n:edge")), ..status() };
        let bearer = judged(unbound, AUDIENCE).unwrap();
        assert_eq!(bearer.account.to_string(), "n/edge");
        assert!(matches!(bearer.pod(), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn a_review_that_does_not_say_all_of_it_is_a_refusal() {
        let of = |name: &str| TokenReviewStatus { user: Some(user(name)), ..status() };
        for bad in [
            TokenReviewStatus { authenticated: None, ..status() },
            TokenReviewStatus { authenticated: Some(false), error: Some("expired".to_owned()), ..status() },
            TokenReviewStatus { audiences: None, ..status() },
            TokenReviewStatus { audiences: Some(vec!["api".to_owned()]), ..status() },
            TokenReviewStatus { user: None, ..status() },
            of("admin"),
            of("system:serviceaccount:n"),
            of("system:serviceaccount::edge"),
            of("system:serviceaccount:n:"),
            of("system:serviceaccount:n:a/b"),
            of("system:serviceaccount:n:a:b"),
        ] {
            assert!(matches!(judged(bad.clone(), AUDIENCE), Err(Refusal::Invalid(_))), "{bad:?}");
        }
    }
}
