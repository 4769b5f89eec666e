// SPDX-License-Identifier: Apache-2.0
//! Ninety days in a minute: the engine as it is, with the time of a simulation, for two hundred certificates at an
//! authority that is away for half of the time, refuses nonces, is broken and busy; names lead elsewhere, proxies are
//! slow, calls of the API server are lost, and every day or two another replica leads. None of it may let a certificate
//! end, use more than the authority grants, or order what was not needed.
//!
//! Half of it, in days and certificates, unless `TORANA_CHAOS` is `full`: `./dev chaos`.

mod authority;

mod signer;

mod tally;

mod weather;

mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use torana_ir::CertificateKey;

use self::authority::Authority;
use self::weather::Weather;
use self::world::{HOME, World, wanted};
use super::attempt::Clock;
use super::engine::{Engine, Parts};
use super::told::{Happening, Told};
use crate::issuance::{Issuer, Wanted};

const BEGIN: i64 = 1_798_761_600;
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// How many days, and hosts.
fn size() -> (i64, usize) {
    if std::env::var("TORANA_CHAOS").is_ok_and(|size| size == "full") { (90, 200) } else { (45, 100) }
}

/// More than half of the hosts are below one registered domain; each third certificate lasts six days.
fn wishes(count: usize) -> Vec<Wanted> {
    let host =
        |n: usize| if n * 2 < count + 20 { format!("h{n}.shop.example") } else { format!("www.shop{n}.example") };
    let issuer = |n: usize| {
        let profile = n.is_multiple_of(3).then(|| "shortlived".to_owned());
        Issuer { profile, ..Issuer::built_in("letsencrypt").unwrap() }
    };
    (0..count).map(|n| wanted(&host(n), issuer(n))).collect()
}

/// What is counted by an engine.
#[derive(Debug, Default)]
struct Counted {
    issued: AtomicUsize,
    failed: AtomicUsize,
}

/// A replica that leads until it is dropped.
struct Leader(JoinHandle<()>);

impl Drop for Leader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lead(world: &World, authority: &Authority, clock: &Clock, counted: &Arc<Counted>) -> Leader {
    let counted = Arc::clone(counted);
    let told = Told::new(move |_, happening| {
        match happening {
            Happening::Issued | Happening::Renewed => counted.issued.fetch_add(1, Ordering::Relaxed),
            Happening::Failed { .. } => counted.failed.fetch_add(1, Ordering::Relaxed),
            Happening::Ordered => 0,
        };
    });
    let (leader, leads) = watch::channel(true);
    let engine = Engine::new(Parts {
        vault: Arc::new(world.clone()),
        connect: Arc::new(authority.clone()),
        reach: Arc::new(world.clone()),
        home: HOME.to_owned(),
        clock: clock.clone(),
        wanted: world.wanted(),
        answers: world.answers(),
        leads,
        told,
    });
    Leader(tokio::spawn(async move {
        engine.run().await;
        drop(leader);
    }))
}

/// So many hours on end in which nothing is in its way are enough for a certificate in the last quarter of its life, in which
/// its authority wants it to be renewed, or after its end.
const ENOUGH: usize = 2;

/// Looks at what is served, once an hour.
#[derive(Default)]
struct Watch {
    /// When each certificate ends, how many fair hours on end it has had till now, and at most since it is due.
    fair: HashMap<CertificateKey, (i64, usize, usize)>,
    /// Certificates that ended though they could have been renewed.
    avoidable: Vec<String>,
    /// Hours in which one that ended was served.
    ended: usize,
}

impl Watch {
    fn look(&mut self, world: &World, weather: Weather, now: i64) {
        for (secret, current) in world.served() {
            let fair = self.fair.entry(secret.clone()).or_default();
            if fair.0 != current.not_after {
                *fair = (current.not_after, 0, 0);
            }
            let is_due = now > current.not_after - current.life() / 4;
            let is_fair = |minutes: i64| weather.is_fair(&secret.name, now - 60 * minutes);
            fair.1 = if is_due && (0..6).all(|tenth| is_fair(10 * tenth)) { fair.1 + 1 } else { 0 };
            fair.2 = fair.2.max(fair.1);
            if current.not_after <= now {
                self.ended += 1;
                if fair.2 >= ENOUGH {
                    let state = world.state(&secret);
                    self.avoidable.push(format!("{secret} ended, in spite of {} fair hours: {state:?}", fair.2));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn over_many_days_of_bad_weather_no_certificate_ends_and_nothing_is_asked_in_vain() {
    fastrand::seed(7);
    let ((days, hosts), weather, begun) = (size(), Weather(7), Instant::now());
    let clock = Clock::new(move || BEGIN + i64::try_from(begun.elapsed().as_secs()).unwrap());
    let (world, counted) = (World::new(clock.clone(), weather, wishes(hosts)), Arc::default());
    let looks = {
        let world = world.clone();
        Arc::new(move |host: &str, token: &str| world.looks(host, token))
    };
    let authority = Authority::new(clock.clone(), weather, looks);
    let mut leader = lead(&world, &authority, &clock, &counted);
    let (mut change, mut watch) = (DAY, Watch::default());
    for hour in 0..24 * days {
        sleep(HOUR).await;
        watch.look(&world, weather, clock.now());
        assert_eq!(watch.avoidable, [""; 0], "after {hour} hours");
        if begun.elapsed() > change {
            drop(leader);
            leader = lead(&world, &authority, &clock, &counted);
            change += DAY.mul_f32(0.3 + 2.0 * fastrand::f32());
        }
        if hour == 12 * days {
            authority.recall();
        }
    }
    let tally = authority.tally();
    let (issued, failed) = (counted.issued.load(Ordering::Relaxed), counted.failed.load(Ordering::Relaxed));
    let (orders, signed) = (tally.orders, tally.certificates);
    println!("{orders} orders, {signed} certificates, {failed} failures, {} refusals", tally.refusals);
    assert_eq!(world.missing(), [], "have none");
    assert!(watch.ended * 20 <= signed, "{} ended that nobody could renew", watch.ended);
    assert!(issued > 4 * hosts && failed > 10 * hosts, "{issued} issued, {failed} failed");
    assert_eq!(tally.violations, [""; 0]);
    assert_eq!(tally.early, 0, "all proxies knew the answer whenever the authority looked");
    assert!(orders * 100 <= signed * 105, "{orders} orders for {signed} certificates");
}
