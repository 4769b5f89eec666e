// SPDX-License-Identifier: Apache-2.0
use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    duration: Duration::from_secs(15),
    deadline: Duration::from_secs(10),
    renew: Duration::from_secs(5),
    retry: Duration::from_secs(1),
    look: Duration::from_secs(2),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, transitions: i32, version: &str) -> Record {
    Record { holder: holder.into(), transitions, duration: TERMS.duration, version: version.into() }
}

fn candidate() -> Election {
    Election::new("me", TERMS, 100)
}

/// One that leads in epoch 101 since second 0, over version `1`.
fn leader() -> Election {
    let mut me = candidate();
    me.answer(at(0), at(0), Answer::Absent);
    me.answer(at(0), at(0), Answer::Written(record("me", 101, "1")));
    assert_eq!(me.leadership(at(0)), Leadership::Leading { epoch: 101 });
    me
}

fn renewal(base: &str) -> Step {
    Step::Write(Proposal { transitions: 101, is_new: false, base: Some(base.into()) })
}

fn taking(transitions: i32, base: Option<&str>) -> Step {
    Step::Write(Proposal { transitions, is_new: true, base: base.map(str::to_owned) })
}

#[test]
fn it_looks_before_it_writes_and_creates_what_is_absent_above_the_floor() {
    let mut me = candidate();
    assert_eq!(me.step(at(0)), Step::Read);
    me.answer(at(0), at(1), Answer::Absent);
    assert_eq!(me.step(at(1)), taking(101, None));
    me.answer(at(1), at(2), Answer::Written(record("me", 101, "1")));
    assert_eq!(me.leadership(at(2)), Leadership::Leading { epoch: 101 });
    assert_eq!(me.step(at(2)), Step::Wait(at(6)), "five seconds after it began to ask");
}

#[test]
fn a_storm_of_conflicts_is_not_answered_by_one_of_calls() {
    let mut me = leader();
    let (mut now, mut writes) = (at(5), 0);
    while now < at(10) {
        match me.step(now) {
            Step::Wait(until) => now = until,
            Step::Read => me.answer(now, now, Answer::Found(record("me", 101, &format!("{writes}")))),
            Step::Write(_) => {
                writes += 1;
                me.answer(now, now, Answer::Conflict);
            }
        }
    }
    assert!((3..=6).contains(&writes), "{writes} in five seconds");
    assert_eq!(me.leadership(at(9)), Leadership::Leading { epoch: 101 });
}

#[test]
fn of_two_that_create_one_follows() {
    let mut me = candidate();
    me.answer(at(0), at(0), Answer::Absent);
    me.answer(at(0), at(1), Answer::Conflict);
    assert_eq!(me.step(at(1)), Step::Read);
    me.answer(at(1), at(1), Answer::Found(record("other", 101, "1")));
    assert_eq!((me.leadership(at(1)), me.step(at(1))), (Leadership::Following, Step::Wait(at(3))));
}

#[test]
fn a_lease_of_another_is_taken_when_it_was_seen_unchanged_for_its_whole_duration() {
    let mut me = candidate();
    me.answer(at(0), at(0), Answer::Found(record("other", 7, "1")));
    me.answer(at(14), at(14), Answer::Found(record("other", 7, "2")));
    assert_eq!(me.step(at(16)), Step::Read, "it was renewed");
    me.answer(at(28), at(28), Answer::Found(record("other", 7, "2")));
    assert_eq!(me.step(at(28)), Step::Wait(at(29)), "not a moment too early, and none too late");
    assert_eq!(me.step(at(29)), Step::Read);
    me.answer(at(29), at(29), Answer::Found(record("other", 7, "2")));
    assert_eq!(me.step(at(29)), taking(101, Some("2")));
    me.answer(at(29), at(29), Answer::Conflict);
    assert_eq!((me.step(at(29)), me.leadership(at(29))), (Step::Read, Leadership::Following));
}

#[test]
fn what_was_given_up_is_taken_at_once_and_the_epoch_rises() {
    let mut me = candidate();
    me.answer(at(0), at(0), Answer::Found(record("", 500, "9")));
    assert_eq!(me.step(at(0)), taking(501, Some("9")));
}

#[test]
fn a_process_that_starts_again_under_its_name_begins_a_new_epoch_at_once() {
    let mut me = candidate();
    me.answer(at(0), at(0), Answer::Found(record("me", 500, "9")));
    assert_eq!(me.step(at(0)), taking(501, Some("9")));
}

#[test]
fn a_renewal_counts_from_before_it_was_asked_for() {
    let mut me = leader();
    assert_eq!(me.step(at(5)), renewal("1"));
    me.answer(at(5), at(9), Answer::Written(record("me", 101, "2")));
    assert_eq!(me.until(), Some(at(15)));
    assert_eq!(me.step(at(10)), renewal("2"));
}

#[test]
fn it_steps_down_before_anybody_may_take_over() {
    let mut me = leader();
    for second in 5..10 {
        assert_eq!(me.step(at(second)), renewal("1"), "{second}");
        me.answer(at(second), at(second), Answer::Failed);
        assert_eq!(me.leadership(at(second)), Leadership::Leading { epoch: 101 });
    }
    assert_eq!(me.leadership(at(10)), Leadership::Stranded { epoch: 101 });
    assert_eq!(me.step(at(10)), Step::Read, "too late to renew");
    assert!(TERMS.deadline < TERMS.duration);
}

#[test]
fn an_answer_that_comes_after_the_mandate_ended_makes_no_leader() {
    let mut me = leader();
    me.answer(at(5), at(16), Answer::Written(record("me", 101, "2")));
    assert_eq!(me.leadership(at(16)), Leadership::Stranded { epoch: 101 });
    assert_eq!(me.step(at(16)), Step::Read);
}

#[test]
fn stranded_ends_when_the_api_server_tells_who_leads() {
    let stranded = || {
        let mut me = leader();
        assert_eq!(me.step(at(10)), Step::Read);
        me.answer(at(10), at(12), Answer::Failed);
        assert_eq!(me.leadership(at(600)), Leadership::Stranded { epoch: 101 });
        me
    };
    let mut me = stranded();
    me.answer(at(600), at(600), Answer::Found(record("other", 102, "5")));
    assert_eq!(me.leadership(at(600)), Leadership::Following);
    let mut me = stranded();
    me.answer(at(600), at(600), Answer::Found(record("me", 101, "1")));
    assert_eq!(me.step(at(600)), taking(102, Some("1")), "nobody took it: a new epoch");
    let mut me = stranded();
    me.answer(at(600), at(600), Answer::Absent);
    assert_eq!((me.leadership(at(600)), me.step(at(600))), (Leadership::Following, taking(102, None)));
}

#[test]
fn whoever_was_deposed_follows_at_once() {
    for deposed in [record("other", 102, "2"), record("me", 102, "2"), record("", 101, "2")] {
        let mut me = leader();
        me.answer(at(5), at(5), Answer::Conflict);
        assert_eq!(me.step(at(5)), Step::Read);
        me.answer(at(5), at(5), Answer::Found(deposed.clone()));
        assert_eq!(me.leadership(at(5)), Leadership::Following, "{deposed:?}");
    }
    let mut me = leader();
    me.answer(at(5), at(5), Answer::Absent);
    assert_eq!(me.leadership(at(5)), Leadership::Following, "somebody deleted it");
}

#[test]
fn a_stranger_that_only_touched_the_lease_deposes_nobody() {
    let mut me = leader();
    me.answer(at(5), at(5), Answer::Conflict);
    me.answer(at(5), at(5), Answer::Found(record("me", 101, "2")));
    assert_eq!((me.leadership(at(5)), me.step(at(5))), (Leadership::Leading { epoch: 101 }, renewal("2")));
    assert_eq!(me.until(), Some(at(10)), "reading renews nothing");
}

#[test]
fn only_a_leader_gives_up() {
    assert_eq!(candidate().release(at(0)), None);
    let released = leader().release(at(3)).unwrap();
    assert_eq!((released.base.as_deref(), released.transitions), (Some("1"), 101));
    assert_eq!(leader().release(at(10)), None, "it may be somebody else's by now");
}

/// The one thing that the API server guarantees: of two writes over one version, one succeeds.
#[derive(Debug, Default)]
struct Register {
    record: Option<Record>,
    versions: u64,
}

impl Register {
    fn write(&mut self, holder: &str, proposal: &Proposal) -> Answer {
        if self.record.as_ref().map(|record| &record.version) != proposal.base.as_ref() {
            return Answer::Conflict;
        }
        self.versions += 1;
        let record = record(holder, proposal.transitions, &self.versions.to_string());
        self.record = Some(record.clone());
        Answer::Written(record)
    }
}

/// What becomes of one call: how long it takes, whether the answer is lost, and whether even the question is.
#[derive(Debug, Clone, Copy)]
struct Luck {
    millis: u64,
    answer_lost: bool,
    question_lost: bool,
}

fn luck() -> impl Strategy<Value = Luck> {
    let lost = || prop::bool::weighted(0.15);
    (0u64..4_000, lost(), lost()).prop_map(|(millis, answer_lost, question_lost)| Luck {
        millis,
        answer_lost,
        question_lost,
    })
}

/// A candidate with a call under way: the write reaches the register half-way.
struct Runner {
    name: String,
    election: Election,
    call: Option<(Duration, Duration, Duration, Step, Option<Answer>, Luck)>,
}

impl Runner {
    fn turn(&mut self, now: Duration, register: &mut Register, lucks: &mut impl Iterator<Item = Luck>) {
        if let Some((sent, arrives, ends, step, answer, luck)) = self.call.take() {
            let mut answer = answer;
            if answer.is_none() && arrives <= now {
                answer = Some(match &step {
                    _ if luck.question_lost => Answer::Failed,
                    Step::Write(proposal) => register.write(&self.name, proposal),
                    _ => register.record.clone().map_or(Answer::Absent, Answer::Found),
                });
            }
            match answer {
                Some(answer) if ends <= now => {
                    let answer = if luck.answer_lost { Answer::Failed } else { answer };
                    self.election.answer(sent, now, answer);
                }
                answer => {
                    self.call = Some((sent, arrives, ends, step, answer, luck));
                    return;
                }
            }
        }
        let step = self.election.step(now);
        if !matches!(step, Step::Wait(_)) {
            let luck = lucks.next().unwrap();
            let whole = Duration::from_millis(luck.millis);
            self.call = Some((now, now + whole / 2, now + whole, step, None, luck));
        }
    }
}

proptest! {
    /// Three candidates, calls that are slow or lost, for some minutes: never do two lead, and no epoch comes twice.
    #[test]
    fn there_are_never_two_leaders(lucks in prop::collection::vec(luck(), 64)) {
        let mut lucks = lucks.into_iter().cycle();
        let mut register = Register::default();
        let mut runners: Vec<_> = ["a", "b", "c"]
            .map(|name| Runner { name: name.into(), election: Election::new(name, TERMS, 0), call: None })
            .into();
        let mut epochs: Vec<(u64, String)> = Vec::new();
        for tick in 0..3_000u64 {
            let now = Duration::from_millis(tick * 100);
            for runner in &mut runners {
                runner.turn(now, &mut register, &mut lucks);
            }
            let leaders: Vec<_> = runners
                .iter()
                .filter_map(|runner| match runner.election.leadership(now) {
                    Leadership::Leading { epoch } => Some((epoch, runner.name.clone())),
                    _ => None,
                })
                .collect();
            prop_assert!(leaders.len() <= 1, "{now:?}: {leaders:?}");
            for leader in leaders {
                if epochs.last() != Some(&leader) {
                    prop_assert!(epochs.iter().all(|(epoch, _)| *epoch < leader.0), "{epochs:?} then {leader:?}");
                    epochs.push(leader);
                }
            }
        }
        prop_assert!(!epochs.is_empty(), "somebody leads at some time");
    }
}
