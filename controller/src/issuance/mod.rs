// SPDX-License-Identifier: Apache-2.0
//! Certificates that Torana obtains by itself (ACME, RFC 8555): which are wanted, from whom, how each stands, and what is
//! to be done next. Pure: time is an argument, in seconds since 1970, and chance is too. Asks nobody, keeps nothing.

mod issuer;

mod order;

mod state;

mod wanted;

mod delay;

mod plan;

mod answers;

mod budget;

mod consents;

pub use answers::{Answer, Answers};
pub use budget::{BUDGET, Budget, Ledger, Spent, Turn};
pub use consents::{CONSENTS, CONSENTS_ENTRY, Consents, MOST_CONSENTS, Offer};
pub use delay::{Attempt, MOST_FAILED_VALIDATIONS, next_try};
pub use issuer::{ExternalAccount, Issuer, KeyType};
pub use order::{Challenge, ChallengeType, Order, Solvable};
pub use plan::{Next, Why, next, renewal};
pub(crate) use state::short_digest;
pub use state::{KEY_ENTRY, LABEL, Renewal, SECRET_TYPE, STATE_ENTRY, State, Trouble, UnreadableState, home_of};
#[cfg(test)]
pub(crate) use wanted::certificate_id;
pub use wanted::{Current, DIRECTORY, Progress, Wanted};
