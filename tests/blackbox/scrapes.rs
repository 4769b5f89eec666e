// SPDX-License-Identifier: Apache-2.0
//! What the numbers of very many routes cost: memory a route, the length of the page, and what a scrape holds.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use torana_tests::{Backend, Connection, World, eventually};

/// Each has a host and a Service of its own.
const ROUTES: usize = 5_000;
/// Routes and Services in one file.
const PART: usize = 500;
/// Children of a histogram with names of their own.
const TIMED: usize = 1_000;
/// Scrapes one after the other, and scrapes at once that nobody reads.
const SCRAPES: usize = 5;
const SLOW: usize = 40;

/// Most bytes that a route may add when it is asked for the first time; 5,486 when each had histograms.
const A_ROUTE: u64 = 2_500;
/// Most KiB that scrapes may hold, one after the other and many at once; 128,204 and 1,022,136 when each held its page.
const A_SCRAPE: u64 = 6 << 10;
const SLOW_SCRAPES: u64 = 16 << 10;
/// Most lines of the page: a counter for each route, 16 lines for each of the children of three histograms, and what
/// is there anyway; 245,064 when each route had histograms.
const LINES: usize = ROUTES + 3 * 16 * (TIMED + 1) + 500;

fn host(number: usize) -> String {
    format!("h{number}.example.com")
}

/// Every route is in force.
fn world(folder: &TempDir, backend: &Backend) -> World {
    for first in (0..ROUTES).step_by(PART) {
        let object = |number: usize| {
            let name = format!("s{number}");
            World::service(&name, backend.port) + &World::route(&format!("r{number}"), &host(number), &name)
        };
        let part: String = (first..first + PART).map(object).collect();
        fs::write(folder.path().join(format!("{first}.yaml")), part).unwrap();
    }
    let arguments = ["--access-log", "off", "-f", folder.path().to_str().unwrap()];
    let world = World::start_with(World::gateway(), &arguments);
    assert!(eventually(|| world.status(&host(ROUTES - 1), "/") == 200), "{}", world.log());
    world
}

fn ask(world: &World, numbers: std::ops::Range<usize>) {
    let mut connection = Connection::open(world.http).unwrap();
    for number in numbers {
        assert_eq!(connection.get(&host(number), "/").unwrap().status, 200, "h{number}");
    }
}

/// The most memory while something is done.
fn peak(world: &World, act: impl FnOnce()) -> u64 {
    let (over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(world.memory(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        act();
        over.store(true, Ordering::Relaxed);
    });
    peak.into_inner()
}

/// Sum of the values of a family's lines that say this.
fn sum(page: &str, family: &str, says: &str) -> (usize, u64) {
    let lines = page.lines().filter(|line| line.starts_with(family) && line.contains(says));
    let values: Vec<u64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (values.len(), values.iter().sum())
}

/// Every request is counted: by route in the counters, and in the histograms as far as there is room.
fn counted(page: &str) {
    let routes = sum(page, "torana_requests_total{", "route_name=\"r");
    assert!(routes.0 == ROUTES && routes.1 >= ROUTES as u64, "{routes:?}");
    for family in ["torana_request_duration_seconds_count{", "torana_overhead_seconds_count{"] {
        let (named, other) = (sum(page, family, "route_name=\"r"), sum(page, family, "route_name=\"other\""));
        assert_eq!((named.0, other.0), (TIMED, 1), "{family}");
        assert_eq!(named.1 + other.1, routes.1, "{family}");
    }
    let connects = "torana_upstream_connect_seconds_count{";
    assert_eq!(sum(page, connects, "backend=\"default/").0, TIMED);
    assert_eq!(sum(page, connects, "backend=\"other\"").0, 1);
    assert!(sum(page, "torana_series_folded_total", "").1 >= 2 * (ROUTES - TIMED) as u64);
}

#[test]
fn routes_without_number_cost_little_to_count_and_to_scrape() {
    // It keeps no connection: the pool is not what is measured.
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let (backend, folder) = (Backend::scripted(|_| answer.to_vec()), TempDir::new().unwrap());
    let world = world(&folder, &backend);
    let page = || world.health("/metrics").unwrap().text();
    // What is allocated once is allocated.
    ask(&world, ROUTES - 100..ROUTES);
    page();
    thread::sleep(Duration::from_secs(2));
    let before = world.memory();
    ask(&world, 0..ROUTES);
    thread::sleep(Duration::from_secs(2));
    let asked = world.memory();
    let a_route = (asked.saturating_sub(before) << 10) / (ROUTES as u64 - 100);
    let scraped = peak(&world, || (0..SCRAPES).for_each(|_| drop(page())));
    let after = world.memory();
    let text = page();
    let (lines, bytes) = (text.lines().count(), text.len());
    let slow = peak(&world, || {
        let scrapes: Vec<Connection> = (0..SLOW)
            .map(|_| {
                let mut connection = Connection::open(world.health).unwrap();
                connection.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                connection
            })
            .collect();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(world.health("/livez").map(|reply| reply.status), Some(200), "{} wait", scrapes.len());
    });
    println!("scrapes: {before} KiB, {asked} when each was asked: {a_route} B a route; {lines} lines, {bytes} B");
    println!("scrapes: {SCRAPES} scrapes: at most {scraped} KiB, {after} after; {SLOW} slow ones: {slow}");
    assert!(lines <= LINES, "{lines} lines");
    assert!(a_route <= A_ROUTE, "{a_route} B a route");
    assert!(scraped.max(after) <= asked + A_SCRAPE, "{asked} KiB, {scraped} KiB during scrapes, {after} KiB after");
    assert!(slow <= after + SLOW_SCRAPES, "{after} KiB, {slow} KiB with {SLOW} slow scrapes");
    counted(&text);
}
