// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use torana_ir::{Backend, BackendKey, NamedEndpoint, Snapshot};

use super::*;
use crate::table::Table;

fn key(name: &str) -> BackendKey {
    BackendKey::tcp("n", name, 80)
}

/// Backend, names separated by spaces, port.
type Row<'a> = (&'a str, &'a str, u16);

fn snapshot(backends: &[Row<'_>]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, hosts, port) in backends {
        snapshot.backends.insert(key(name), Arc::new(Backend::new(key(name))));
        let mut hosts = hosts.split(' ').map(|host| NamedEndpoint::new(host, *port));
        let first = hosts.next().unwrap();
        let endpoints = Endpoints::Dns { backend: key(name), first, others: hosts.collect(), addresses: Vec::new() };
        snapshot.endpoints.insert(key(name), Arc::new(endpoints));
    }
    snapshot
}

struct World {
    program: Program,
    generation: watch::Sender<u64>,
    asked: Arc<AtomicUsize>,
}

/// `answer` is given how often it was asked before.
fn world(first: &Snapshot, answer: fn(usize) -> Answer) -> World {
    naming(first, move |_, before| answer(before))
}

/// `answer` is given the name, too.
fn naming(first: &Snapshot, answer: impl Fn(&str, usize) -> Answer + Copy + Send + 'static) -> World {
    let (sender, generation) = watch::channel(0);
    let table = Arc::new(ArcSwap::from_pointee(Table::compile(first, &Table::empty())));
    let program = Program { snapshot: Arc::default(), table, generation };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup = move |name: String| {
        let count = Arc::clone(&count);
        async move { answer(&name, count.fetch_add(1, Ordering::SeqCst)) }
    };
    tokio::spawn(Resolving::new(program.clone(), lookup).run());
    World { program, generation: sender, asked }
}

impl World {
    fn addresses(&self, name: &str) -> Vec<String> {
        let table = self.program.table.load();
        let set = table.backend(&key(name)).unwrap().endpoints();
        set.iter().map(|(endpoint, _)| endpoint.address.to_string()).collect()
    }

    async fn eventually(&self, name: &str, expected: &[&str]) {
        for _ in 0..500 {
            if self.addresses(name) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {expected:?}", self.addresses(name));
    }
}

fn v4(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

#[tokio::test]
async fn an_answer_is_asked_for_again_when_it_expires_and_kept_when_that_fails() {
    let world = world(&snapshot(&[("a", "a.com", 8080)]), |before| match before {
        0 => Ok((vec![v4(1)], Duration::ZERO)),
        1 => Ok((vec![v4(2), "::1".parse().unwrap()], Duration::ZERO)),
        _ => Err("refused".to_owned()),
    });
    world.eventually("a", &["10.0.0.1:8080"]).await;
    world.eventually("a", &["10.0.0.2:8080", "[::1]:8080"]).await;
    for _ in 0..400 {
        if world.asked.load(Ordering::SeqCst) > 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.asked.load(Ordering::SeqCst) > 2);
    assert_eq!(world.addresses("a"), ["10.0.0.2:8080", "[::1]:8080"], "the last good answer");
}

#[tokio::test]
async fn of_several_names_each_is_asked_for_and_one_that_fails_takes_nothing_from_the_others() {
    let world = naming(&snapshot(&[("a", "a.com b.com lost.com", 80), ("b", "b.com", 81)]), |name, _| match name {
        "a.com" => Ok((vec![v4(1)], Duration::from_hours(1))),
        "b.com" => Ok((vec![v4(3), v4(2)], Duration::from_hours(1))),
        _ => Err("refused".to_owned()),
    });
    world.eventually("a", &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]).await;
    world.eventually("b", &["10.0.0.2:81", "10.0.0.3:81"]).await;
}

#[tokio::test]
async fn more_names_than_are_asked_for_at_once_are_all_answered() {
    let hosts: Vec<_> = (0..=2 * AT_ONCE).map(|at| format!("{at}.com")).collect();
    let world = world(&snapshot(&[("a", &hosts.join(" "), 80)]), |before| {
        let [_, high, low, _] = u32::try_from(before * 256).unwrap().to_be_bytes();
        Ok((vec![[10, high, low, 1].into()], Duration::from_hours(1)))
    });
    for _ in 0..500 {
        if world.addresses("a").len() == hosts.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((world.addresses("a").len(), world.asked.load(Ordering::SeqCst)), (hosts.len(), hosts.len()));
}

#[test]
fn of_an_answer_is_used_what_can_be_connected_to_and_not_more_than_a_backend_takes() {
    let strange = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0", "::ffff:10.0.0.1"];
    assert_eq!(usable(&strange.map(|it| it.parse().unwrap())), [v4(1)]);
    let many: Vec<IpAddr> = (1..=5000u32).map(|at| IpAddr::from((at | 0x0a00_0000).to_be_bytes())).collect();
    let reversed: Vec<_> = many.iter().rev().copied().collect();
    assert_eq!((usable(&many).len(), usable(&many)), (MOST_ADDRESSES, usable(&reversed)));
}

#[tokio::test]
async fn a_new_backend_of_a_known_name_gets_its_addresses_at_once() {
    let first = snapshot(&[("a", "a.com", 80)]);
    let world = world(&first, |_| Ok((vec![v4(1)], Duration::from_hours(1))));
    world.eventually("a", &["10.0.0.1:80"]).await;
    let second = snapshot(&[("a", "a.com", 80), ("b", "a.com", 81)]);
    let table = Table::compile(&second, &world.program.table.load());
    world.program.table.store(Arc::new(table));
    world.generation.send_replace(1);
    world.eventually("b", &["10.0.0.1:81"]).await;
    assert_eq!(world.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_hosts_file_is_a_resolver_too() {
    let found = lookup(Arc::new(resolver(None).unwrap()), "localhost".to_owned()).await.unwrap();
    assert!(found.0.iter().all(IpAddr::is_loopback) && !found.0.is_empty(), "{found:?}");
}
