// SPDX-License-Identifier: Apache-2.0
//! The hub, and proxies that do what the test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use torana_controller::feed::{Ca, Standing};
use torana_ir::wire::{Known, key_text};
use torana_ir::{ResourceKey, Snapshot};

use super::puppet::Puppet;
use super::{Controller, fleet, listener, listener_key, many, members, now, rule, snapshot};

fn listener_text() -> String {
    key_text(&ResourceKey::Listener(listener_key()))
}

#[tokio::test]
async fn a_proxy_is_sent_all_and_after_that_what_changes() {
    let controller = Controller::start().await;
    controller.publish(7, 1, many(80, 3, "a"));
    let mut proxy = Puppet::hello(&controller, "p", vec![]).await;
    let whole = proxy.next().await;
    assert_eq!((whole.epoch, whole.generation, whole.upserts.len(), whole.removals.len()), (7, 1, 4, 0));
    assert_eq!(controller.programmed(&["p"]).standing, Standing::Pending(vec!["n/p".to_owned()]));
    proxy.ack(1).await;
    controller.in_force(&["p"]).await;
    controller.publish(7, 2, many(80, 2, "a"));
    let whole = proxy.next().await;
    assert_eq!((whole.generation, whole.upserts.len(), whole.removals.len()), (2, 0, 1));
}

#[tokio::test]
async fn resuming_sends_nothing_when_nothing_changed() {
    let controller = Controller::start().await;
    controller.publish(1, 1, many(80, 20, "a"));
    let mut first = Puppet::hello(&controller, "p", vec![]).await;
    let known = first.next().await.known();
    drop(first);
    let mut second = Puppet::hello(&controller, "p", known).await;
    let whole = second.next().await;
    assert_eq!((whole.generation, whole.upserts.len(), whole.removals.len()), (1, 0, 0));
    second.ack(1).await;
    controller.in_force(&["p"]).await;
}

#[tokio::test]
async fn resuming_at_another_replica_sends_what_differs_and_removes_what_is_gone() {
    let (one, other) = (Controller::start().await, Controller::start().await);
    one.publish(1, 9, snapshot(vec![listener(80), rule("same", "a"), rule("changed", "a"), rule("gone", "a")]));
    other.publish(2, 1, snapshot(vec![listener(80), rule("same", "a"), rule("changed", "b")]));
    let mut known = Puppet::hello(&one, "p", vec![]).await.next().await.known();
    known.push(Known { key: "{\"Invented\":1}".to_owned(), hash: vec![1; 16].into() });
    let whole = Puppet::hello(&other, "p", known).await.next().await;
    assert_eq!(whole.upserts.iter().map(|it| it.key.contains("changed")).collect::<Vec<_>>(), [true]);
    assert_eq!(whole.removals.len(), 2, "{:?}", whole.removals);
}

#[tokio::test]
async fn a_slow_proxy_skips_generations() {
    let controller = Controller::start().await;
    controller.publish(1, 1, many(80, 1, "a"));
    let mut slow = Puppet::hello(&controller, "slow", vec![]).await;
    let mut quick = Puppet::hello(&controller, "quick", vec![]).await;
    assert_eq!(slow.next().await.generation, 1);
    assert_eq!(quick.next().await.generation, 1);
    quick.ack(1).await;
    for generation in 2..=50 {
        controller.publish(1, generation, many(80, 1, &format!("a{generation}")));
        assert_eq!(quick.next().await.generation, generation, "nobody waits for the slow one");
        quick.ack(generation).await;
    }
    slow.ack(1).await;
    let whole = slow.next().await;
    assert_eq!((whole.generation, whole.upserts.len()), (50, 1));
    let waiting = controller.programmed(&["slow", "quick"]).standing;
    assert_eq!(waiting, Standing::Pending(vec!["n/slow".to_owned()]));
    slow.ack(50).await;
    controller.in_force(&["slow", "quick"]).await;
}

#[tokio::test]
async fn five_thousand_routes_are_one_generation_in_chunks() {
    let controller = Controller::start().await;
    controller.publish(1, 1, many(80, 5000, "a.very.long.hostname.that.makes.the.routes.as.large.as.they.are"));
    let mut proxy = Puppet::hello(&controller, "p", vec![]).await;
    let whole = proxy.next().await;
    assert_eq!(whole.upserts.len(), 5001);
    assert!(whole.chunks > 1, "{}", whole.chunks);
    // What they are known by goes up in one message here; a gateway says it in several.
    let mut again = Puppet::hello(&controller, "p", whole.known()).await;
    assert_eq!(again.next().await.upserts.len(), 0);
}

#[tokio::test]
async fn a_fleet_gets_its_own_program_only_and_one_without_a_program_waits() {
    let controller = Controller::start().await;
    let mut other = Puppet::open(&controller, "Bearer o@other").await.unwrap();
    other.say(torana_ir::wire::Word::Hello(torana_ir::wire::Hello { complete: true, ..Default::default() })).await;
    controller.publish(1, 1, many(80, 3, "a"));
    let nothing = tokio::time::timeout(Duration::from_millis(200), other.chunk()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    let snapshots = [("edge", many(80, 3, "a")), ("other", Snapshot::default())];
    let snapshots = snapshots.map(|(name, snapshot)| (fleet(name), Arc::new(snapshot)));
    controller.hub.publish(1, 2, &BTreeMap::from(snapshots));
    assert_eq!(other.next().await.upserts.len(), 0);
}

#[tokio::test]
async fn a_proxy_that_comes_before_its_leader_knows_the_fleets_waits_for_them() {
    let controller = Controller::ignorant(([127, 0, 0, 1], 0).into(), &Ca::new(now()).unwrap()).await;
    let mut early = std::pin::pin!(Puppet::hello(&controller, "p", vec![]));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut early).await.is_err());
    controller.hub.members(members(&["edge"]));
    controller.publish(1, 1, many(80, 3, "a"));
    assert_eq!(early.await.next().await.upserts.len(), 4);
}

#[tokio::test]
async fn who_shows_no_good_token_is_refused() {
    let controller = Controller::start().await;
    for (token, code, why) in [
        ("Bearer garbage", Code::Unauthenticated, "nobody knows it"),
        ("Basic p@edge", Code::Unauthenticated, "a bearer token is needed"),
        ("Bearer p@stranger", Code::PermissionDenied, "service account n/stranger belongs to no fleet"),
    ] {
        let refused = Puppet::open(&controller, token).await.err().expect(token);
        assert_eq!(refused.code(), code, "{token}");
        assert!(refused.message().contains(why), "{token}: {refused}");
    }
    assert_eq!(controller.hub.connected(&fleet("edge")), 0);
}

#[tokio::test]
async fn a_pod_has_one_stream_and_only_while_it_is_a_member() {
    let controller = Controller::start().await;
    let first = Puppet::hello(&controller, "p", vec![]).await;
    let second = Puppet::hello(&controller, "p", vec![]).await;
    let why = first.end().await.expect("a reason");
    assert_eq!(why.code(), Code::Aborted, "{why}");
    assert_eq!(controller.hub.connected(&fleet("edge")), 1);
    controller.hub.members(members(&["other"]));
    assert_eq!(second.end().await.expect("a reason").code(), Code::Aborted);
    assert!(Puppet::open(&controller, "Bearer p@edge").await.is_err());
}

#[tokio::test]
async fn who_no_longer_leads_closes_all_streams() {
    let controller = Controller::start().await;
    controller.publish(1, 1, many(80, 1, "a"));
    let mut proxy = Puppet::hello(&controller, "p", vec![]).await;
    proxy.next().await;
    let hub = controller.hub.clone();
    controller.stop().await;
    assert!(proxy.end().await.is_some());
    super::eventually("gone", || async { hub.connected(&fleet("edge")) == 0 }).await;
}

#[tokio::test]
async fn rejections_are_told_by_their_keys() {
    use torana_ir::wire::{Ack, Rejected, Word};
    let controller = Controller::start().await;
    controller.publish(1, 1, many(80, 1, "a"));
    let mut proxy = Puppet::hello(&controller, "p", vec![]).await;
    proxy.next().await;
    let rejected = ["unreadable".to_owned(), listener_text()].map(|key| Rejected { key, reason: "r".repeat(100_000) });
    proxy.say(Word::Ack(Ack { generation: 1, rejected: rejected.to_vec() })).await;
    controller.in_force(&["p"]).await;
    let programmed = controller.programmed(&["p"]);
    assert_eq!(programmed.rejected.keys().collect::<Vec<_>>(), [&ResourceKey::Listener(listener_key())]);
    assert!(programmed.rejected.values().all(|reason| reason.len() <= 512));
}
