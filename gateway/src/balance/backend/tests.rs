// SPDX-License-Identifier: Apache-2.0

use torana_ir::LoadBalance;

use super::*;

fn key() -> BackendKey {
    BackendKey::tcp("n", "b", 80)
}

fn listed(list: &[(u16, bool)]) -> Arc<Endpoints> {
    let endpoint = |(port, ready): &(u16, bool)| torana_ir::Endpoint::new(address(*port), *ready);
    Arc::new(Endpoints::Static { backend: key(), endpoints: list.iter().map(endpoint).collect() })
}

fn named(host: &str, port: u16) -> Arc<Endpoints> {
    Arc::new(Endpoints::of_name(key(), host, port))
}

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn state(source: Arc<Endpoints>) -> BackendState {
    BackendState::new(Arc::new(Backend::new(key())), Arc::default(), source, None)
}

fn port(state: &BackendState, random: u64) -> Option<u16> {
    state.pick(&Draw { random, ..Draw::default() }, Instant::now).map(|endpoint| endpoint.address.port())
}

fn ports(state: &BackendState) -> Vec<u16> {
    state.endpoints().iter().map(|(endpoint, _)| endpoint.address.port()).collect()
}

#[test]
fn an_address_that_stays_keeps_its_endpoint() {
    let state = state(listed(&[(1, true), (2, true)]));
    let ids: Vec<u64> = state.endpoints().iter().map(|(endpoint, _)| endpoint.id).collect();
    let guard = state.endpoints().usable()[1].begin();
    state.set_source(listed(&[(2, true), (3, true)]));
    let set = state.endpoints();
    assert_eq!((set.usable()[0].id, set.usable()[0].in_flight()), (ids[1], 1));
    assert!(!ids.contains(&set.usable()[1].id));
    drop(guard);
    assert_eq!(set.usable()[0].in_flight(), 0);
    state.set_source(listed(&[(1, true)]));
    assert!(!ids.contains(&state.endpoints().usable()[0].id), "an address that comes back gets a new id");
}

#[test]
fn serving_endpoints_are_used_only_without_ready_ones() {
    let state = state(listed(&[(1, false), (2, true), (3, false)]));
    let all = |state: &BackendState| -> Vec<u16> {
        (0..64).map(|step| port(state, step << 58 | step << 26).unwrap()).collect()
    };
    assert!(all(&state).iter().all(|port| *port == 2));
    state.set_source(listed(&[(1, false), (3, false)]));
    assert!(all(&state).contains(&1) && all(&state).contains(&3));
    state.set_source(listed(&[]));
    assert_eq!(port(&state, 0), None);
}

#[test]
fn a_duplicate_address_counts_once() {
    assert_eq!(ports(&state(listed(&[(1, true), (1, false), (2, true)]))), [1, 2]);
}

/// Answers one name.
fn answer(state: &BackendState, host: &str, addresses: &[[u8; 4]]) {
    let addresses: Addresses = addresses.iter().map(|address| std::net::IpAddr::from(*address)).collect();
    state.set_answers(|name| (name == host).then(|| Arc::clone(&addresses)));
}

#[test]
fn a_name_keeps_its_last_good_answer() {
    let state = state(named("a.com", 80));
    assert_eq!((&*state.source(), ports(&state)), (&*named("a.com", 80), vec![]));
    answer(&state, "a.com", &[[127, 0, 0, 1]]);
    answer(&state, "a.com", &[]);
    assert_eq!(ports(&state), [80]);
    state.set_source(named("a.com", 81));
    assert_eq!(ports(&state), [81]);
    state.set_source(named("b.com", 81));
    assert_eq!(ports(&state), [0u16; 0]);
    answer(&state, "a.com", &[[127, 0, 0, 1]]);
    assert_eq!(ports(&state), [0u16; 0], "a late answer for the old name");
}

#[test]
fn an_answer_that_says_the_same_leaves_the_endpoints_alone() {
    let state = state(named("a.com", 80));
    answer(&state, "a.com", &[[127, 0, 0, 1], [127, 0, 0, 2]]);
    let (set, ids) = (state.endpoints(), |state: &BackendState| {
        state.endpoints().iter().map(|(endpoint, _)| endpoint.id).collect::<Vec<_>>()
    });
    answer(&state, "a.com", &[[127, 0, 0, 1], [127, 0, 0, 2]]);
    assert!(Arc::ptr_eq(&set, &state.endpoints()));
    let before = ids(&state);
    answer(&state, "a.com", &[[127, 0, 0, 2], [127, 0, 0, 1]]);
    assert_eq!(ids(&state), before, "in another order they are the same");
}

#[test]
fn a_new_configuration_takes_resolved_addresses_over() {
    let old = state(named("a.com", 80));
    answer(&old, "a.com", &[[127, 0, 0, 1]]);
    let new = BackendState::new(Arc::new(Backend::new(key())), Arc::default(), named("a.com", 80), Some(&old));
    assert_eq!(ports(&new), [80]);
    assert_eq!(new.endpoints().usable()[0].id, old.endpoints().usable()[0].id, "what is known of it stays");
    assert_ne!(new.id, old.id, "its connections are its own");
}

#[test]
fn round_robin_takes_turns() {
    let config = Backend { balance: LoadBalance::RoundRobin, ..Backend::new(key()) };
    let state = BackendState::new(Arc::new(config), Arc::default(), listed(&[(1, true), (2, true)]), None);
    let ports: Vec<u16> = (0..4).map(|_| port(&state, 0).unwrap()).collect();
    assert_eq!(ports, [1, 2, 1, 2]);
}

#[test]
fn what_is_configured_otherwise_has_connections_of_its_own_and_the_same_requests() {
    let caps = torana_ir::Caps { pending: Some(1), requests: Some(1), ..torana_ir::Caps::default() };
    let config = Backend { max_connections: 1, caps, ..Backend::new(key()) };
    let new = |previous| BackendState::new(Arc::new(config.clone()), Arc::default(), listed(&[]), previous);
    let old = new(None);
    let _connection = old.connections().take().unwrap();
    let _places = [Use::Pending, Use::Requests].map(|of| old.place(of).unwrap());
    let new = new(Some(&old));
    assert!(old.connections().take().is_none() && new.connections().take().is_some());
    assert!([Use::Pending, Use::Requests].iter().all(|of| new.place(*of).is_err()));
}
