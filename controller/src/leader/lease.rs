// SPDX-License-Identifier: Apache-2.0
//! `coordination.k8s.io/v1` Lease to and from what an election knows of it. Never judges it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::leader::Candidate;
use crate::leader::election::{Proposal, Record};

/// 2020-01-01.
const BEGINNING: i64 = 1_577_836_800;

/// What a Lease says.
pub(super) fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
        duration: Duration::from_secs(seconds),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// A Lease as `proposal` wants it, for `holder`; the rest is as in `last`. Its times are for people.
pub(super) fn proposed(
    last: Option<&Lease>,
    candidate: &Candidate,
    (proposal, holder): (&Proposal, &str),
    now: jiff::Timestamp,
) -> Lease {
    let mut lease = last.cloned().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(candidate.lease.clone()),
        namespace: Some(candidate.namespace.clone()),
        resource_version: proposal.base.clone(),
        managed_fields: None,
        ..lease.metadata
    };
    let before = lease.spec.take().unwrap_or_default();
    // Whoever gives it up wants nobody to wait: as client-go writes it.
    let seconds = if holder.is_empty() { 1 } else { candidate.terms.duration.as_secs() };
    let acquired = if proposal.is_new { None } else { before.acquire_time.clone() };
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(seconds).ok(),
        lease_transitions: Some(proposal.transitions),
        acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        ..before
    };
    Lease { metadata, spec: Some(spec) }
}

/// Where the epochs of a Lease begin that has to be created: minutes since 2020. A Lease that somebody deleted (with its
/// namespace, say) counted up from an earlier minute, and changes hands less than once a minute.
pub(super) fn floor(now: jiff::Timestamp) -> i32 {
    i32::try_from((now.as_second() - BEGINNING) / 60).unwrap_or_default().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::Terms;

    fn candidate() -> Candidate {
        Candidate {
            namespace: "torana-system".into(),
            lease: "torana".into(),
            identity: "torana-0".into(),
            is_pod: true,
            terms: Terms::default(),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let now = jiff::Timestamp::from_second(1_798_761_600).unwrap();
        let proposal = Proposal { transitions: 7, is_new: true, base: Some("42".into()) };
        let lease = proposed(None, &candidate(), (&proposal, "torana-0"), now);
        let expected = Record {
            holder: "torana-0".into(),
            transitions: 7,
            duration: Duration::from_secs(15),
            version: "42".into(),
        };
        assert_eq!(record(&lease), expected);
    }

    #[test]
    fn a_renewal_keeps_the_time_of_acquisition_and_labels_of_others() {
        let time = |second| jiff::Timestamp::from_second(second).unwrap();
        let first = Proposal { transitions: 7, is_new: true, base: None };
        let mut lease = proposed(None, &candidate(), (&first, "torana-0"), time(1000));
        lease.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        let renewal = Proposal { transitions: 7, is_new: false, base: Some("1".into()) };
        let renewed = proposed(Some(&lease), &candidate(), (&renewal, "torana-0"), time(1005));
        let spec = renewed.spec.unwrap();
        assert_eq!((spec.acquire_time, spec.renew_time), (Some(MicroTime(time(1000))), Some(MicroTime(time(1005)))));
        assert_eq!(renewed.metadata.labels, lease.metadata.labels);
        let taken = Proposal { transitions: 8, is_new: true, base: Some("1".into()) };
        let taken = proposed(Some(&lease), &candidate(), (&taken, "torana-1"), time(1010)).spec.unwrap();
        assert_eq!(taken.acquire_time, Some(MicroTime(time(1010))));
    }

    #[test]
    fn a_lease_that_is_created_later_begins_higher() {
        let at = |second| floor(jiff::Timestamp::from_second(second).unwrap());
        assert_eq!((at(0), at(BEGINNING + 59), at(BEGINNING + 600)), (0, 0, 10));
        assert!(at(4_000_000_000) > at(2_000_000_000));
    }
}
