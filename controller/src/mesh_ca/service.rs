// SPDX-License-Identifier: Apache-2.0
//! Who gets a certificate, and for how long. Reads no bytes and opens no port; every refusal has the code that Istio's
//! clients know.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse};

use super::authority::{Authority, DEFAULT_LIFETIME, Issued, SignError};
use super::identity::TrustDomain;
use super::rate::Rates;
use crate::clock::now;
use crate::feed::{Account, Accounts, bearer};

/// Tokens that the API server is asked about at once.
pub(super) const MOST_REVIEWS: usize = 256;

/// What holds for every certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The trust domain of the mesh.
    pub trust_domain: TrustDomain,
    /// The most that anybody is given.
    pub lifetime: Duration,
    /// What this cluster is called; whoever says that it is of another one is refused. `None`: nobody is asked.
    pub cluster_id: Option<String>,
}

/// The service.
pub struct MeshCa<A> {
    policy: Policy,
    authorities: watch::Receiver<Authority>,
    accounts: A,
    reviews: Semaphore,
    rates: Mutex<Rates>,
}

impl<A> fmt::Debug for MeshCa<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshCa").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<A: Accounts> MeshCa<A> {
    /// Signs with the newest of `authorities` for whom `accounts` knows.
    pub fn new(policy: Policy, authorities: watch::Receiver<Authority>, accounts: A) -> Self {
        let reviews = Semaphore::new(MOST_REVIEWS);
        Self { policy, authorities, accounts, reviews, rates: Mutex::default() }
    }

    /// Whose request it is, by its head; nothing of what follows has been read.
    pub(super) async fn admit(&self, head: &HeaderMap) -> Result<Account, Status> {
        let token = bearer(head)?;
        if let (Some(ours), Some(theirs)) = (&self.policy.cluster_id, head.get("clusterid"))
            && theirs.as_bytes() != ours.as_bytes()
        {
            return Err(Status::unauthenticated(format!("this is the authority of cluster {ours:?}")));
        }
        let too_many = |_| Status::resource_exhausted("too many ask at once");
        let review = self.reviews.try_acquire().map_err(too_many)?;
        let account = self.accounts.account(token).await?;
        drop(review);
        // Numbers are whole whatever panicked.
        if !self.rates.lock().unwrap_or_else(PoisonError::into_inner).ask(&account, Instant::now()) {
            return Err(Status::resource_exhausted(format!("service account {account} asks too often")));
        }
        Ok(account)
    }

    /// The certificate of `account`.
    pub(super) fn issue(
        &self,
        account: &Account,
        request: &IstioCertificateRequest,
    ) -> Result<IstioCertificateResponse, Status> {
        if request.impersonates() {
            return Err(Status::permission_denied(format!("service account {account} may ask for itself only")));
        }
        let lifetime = self.lifetime(request.validity_duration)?;
        let identity = self.policy.trust_domain.identity(account);
        let signed = self.authorities.borrow().sign(&request.csr, &identity, lifetime, now());
        let Issued { chain, serial, not_after } = signed.map_err(|error| match error {
            SignError::Unfit(why) => Status::invalid_argument(why.to_string()),
            SignError::Authority(why) => {
                tracing::error!(%why, "the authority of the mesh cannot sign");
                Status::internal("the authority cannot sign")
            }
        })?;
        tracing::info!(identity, serial, not_after, "a certificate was given");
        Ok(IstioCertificateResponse { cert_chain: chain })
    }

    /// `asked` is in seconds; 0 is not to say.
    fn lifetime(&self, asked: i64) -> Result<Duration, Status> {
        let asked = u64::try_from(asked).map_err(|_| Status::invalid_argument("validity_duration is below 0"))?;
        let asked = if asked == 0 { DEFAULT_LIFETIME } else { Duration::from_secs(asked) };
        Ok(asked.min(self.policy.lifetime))
    }
}
