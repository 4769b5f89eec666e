// SPDX-License-Identifier: Apache-2.0
use torana_crds::Kind;

use super::*;

struct Line {
    queue: Queue,
    now: Instant,
}

impl Line {
    fn new(rate: Rate, at_once: usize) -> Self {
        let now = Instant::now();
        Self { queue: Queue::new(rate, at_once, now), now }
    }

    fn free() -> Self {
        Self::new(Rate { per_second: 1e6, burst: 1e6 }, 8)
    }

    fn push(&mut self, name: &str, haste: Haste) {
        self.queue.push(&object(name), haste, self.now);
    }

    fn take(&mut self) -> Option<String> {
        self.queue.take(self.now).ok().map(|object| object.name)
    }

    fn done(&mut self, name: &str, outcome: Outcome) {
        self.queue.done(&object(name), outcome, self.now, 1.0);
    }

    fn later(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    /// How long until something can be taken.
    fn wait(&mut self) -> Option<Duration> {
        self.queue.take(self.now).err().flatten().map(|at| at - self.now)
    }

    fn write(&mut self, name: &str) {
        self.push(name, Haste::Now);
        assert_eq!(self.take().as_deref(), Some(name));
        self.done(name, Outcome::Written);
    }
}

fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::HttpRoute, "default", name)
}

#[test]
fn an_object_that_changes_often_has_one_turn() {
    let mut line = Line::free();
    for name in ["a", "b", "a", "a"] {
        line.push(name, Haste::Now);
    }
    assert_eq!((line.take(), line.take(), line.take()), (Some("a".into()), Some("b".into()), None));
}

#[test]
fn a_gateway_does_not_stand_in_line_with_routes() {
    let mut line = Line::free();
    line.push("a", Haste::Now);
    line.push("b", Haste::Now);
    let gateway = ObjectRef::new(Kind::Gateway, "default", "edge");
    line.queue.push(&gateway, Haste::Now, line.now);
    assert_eq!((line.take(), line.take(), line.take()), (Some("edge".into()), Some("a".into()), Some("b".into())));
    line.push("c", Haste::Now);
    let later = line.now + Duration::from_secs(1);
    line.queue.push(&ObjectRef::new(Kind::Gateway, "default", "other"), Haste::Now, later);
    assert_eq!((line.take(), line.take()), (Some("c".into()), None), "what is not due yet holds nobody up");
    assert_eq!(line.later(1_000).take().as_deref(), Some("other"));
}

#[test]
fn what_changes_while_it_is_written_is_written_next() {
    let mut line = Line::free();
    line.push("a", Haste::Now);
    line.take();
    line.push("a", Haste::Now);
    assert_eq!(line.take(), None, "one at a time");
    line.done("a", Outcome::Written);
    assert_eq!(line.take(), Some("a".into()));
    line.done("a", Outcome::Settled);
    assert!(line.queue.is_idle());
}

#[test]
fn only_so_many_are_under_way() {
    let mut line = Line::new(Rate { per_second: 1e6, burst: 1e6 }, 2);
    for name in ["a", "b", "c"] {
        line.push(name, Haste::Now);
    }
    assert!(line.take().is_some() && line.take().is_some());
    assert_eq!((line.take(), line.wait()), (None, None));
    line.done("a", Outcome::Written);
    assert_eq!(line.take(), Some("c".into()));
}

#[test]
fn calls_have_a_rate_and_looking_costs_nothing() {
    let mut line = Line::new(Rate { per_second: 10.0, burst: 2.0 }, 8);
    for name in ["a", "b", "c", "d"] {
        line.push(name, Haste::Now);
    }
    line.take();
    line.done("a", Outcome::Settled);
    for name in ["b", "c"] {
        assert_eq!(line.take().as_deref(), Some(name));
        line.queue.spend();
    }
    assert_eq!(line.take(), None);
    let wait = line.wait().unwrap();
    assert!((90..=110).contains(&wait.as_millis()), "{wait:?}");
    assert_eq!(line.later(110).take(), Some("d".into()));
}

#[test]
fn numbers_wait_until_it_is_quiet() {
    let mut line = Line::free();
    line.push("a", Haste::WhenQuiet);
    assert_eq!(line.take(), Some("a".into()), "the first change is seen at once");
    line.done("a", Outcome::Written);
    for _ in 0..5 {
        line.later(100).push("a", Haste::WhenQuiet);
        assert_eq!(line.take(), None);
    }
    assert_eq!(line.later(299).take(), None);
    assert_eq!(line.later(1).take(), Some("a".into()));
}

#[test]
fn numbers_that_never_rest_are_written_every_few_seconds() {
    let mut line = Line::free();
    line.write("a");
    let mut writes = 0;
    for _ in 0..600 {
        line.later(50).push("a", Haste::WhenQuiet);
        if line.take().is_some() {
            line.done("a", Outcome::Written);
            writes += 1;
        }
    }
    assert!((5..=6).contains(&writes), "{writes} in half a minute");
}

#[test]
fn what_matters_does_not_wait_for_quiet() {
    let mut line = Line::free();
    line.write("a");
    line.push("a", Haste::WhenQuiet);
    line.later(10).push("a", Haste::Now);
    assert_eq!(line.take(), Some("a".into()));
    line.done("a", Outcome::Written);
    line.push("a", Haste::Now);
    line.push("a", Haste::WhenQuiet);
    assert_eq!(line.take(), Some("a".into()), "nor is it put off");
}

#[test]
fn what_is_contested_comes_again_later_and_later() {
    let mut line = Line::free();
    line.push("a", Haste::Now);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(line.take(), Some("a".into()));
        line.done("a", Outcome::Contested);
        line.push("a", Haste::Now);
        let wait = line.wait().unwrap();
        waits.push(u64::try_from(wait.as_millis()).unwrap());
        line.now += wait;
    }
    assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    line.take();
    line.done("a", Outcome::Written);
    line.push("a", Haste::Now);
    assert_eq!(line.take(), Some("a".into()), "success forgets");
}

#[test]
fn what_the_api_server_refuses_waits_for_something_new() {
    let mut line = Line::free();
    line.push("a", Haste::Now);
    line.take();
    line.done("a", Outcome::Refused);
    assert_eq!(line.later(200_000).take(), None);
    line.push("a", Haste::Now);
    assert_eq!(line.take(), Some("a".into()));
    line.push("a", Haste::Now);
    line.done("a", Outcome::Refused);
    assert_eq!(line.take(), Some("a".into()), "it was new meanwhile");
    line.done("a", Outcome::Refused);
    assert_eq!(line.later(300_001).take(), Some("a".into()));
}

#[test]
fn while_the_api_server_fails_everything_waits() {
    let mut line = Line::free();
    for name in ["a", "b"] {
        line.push(name, Haste::Now);
    }
    line.take();
    line.done("a", Outcome::Unavailable(Duration::ZERO));
    assert_eq!(line.take(), None);
    assert_eq!(line.wait(), Some(Duration::from_millis(200)));
    assert_eq!(line.later(200).take(), Some("b".into()));
    line.done("b", Outcome::Written);
    assert_eq!(line.take(), Some("a".into()), "one success opens the way");
}

#[test]
fn waits_are_spread() {
    assert_eq!(later(1, 0.0), Duration::from_millis(100));
    assert_eq!(later(1, 1.0), Duration::from_millis(200));
    assert_eq!(later(u32::MAX, 9.0), LONGEST_RETRY);
}

#[test]
fn what_was_written_long_ago_is_forgotten() {
    let mut line = Line::free();
    for at in 0..1_000 {
        line.write(&format!("r{at}"));
        line.later(100);
    }
    assert!(line.queue.items.len() < 200, "{}", line.queue.items.len());
    assert!(line.queue.places.is_empty() && line.queue.is_idle());
}
