// SPDX-License-Identifier: Apache-2.0
//! What is around the engine: Secrets whose calls are lost now and then, the part of translation that makes wishes of
//! them, a little late, and proxies that confirm what they are to answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use torana_ir::{CertificateKey, GatewayId};

use super::super::attempt::Clock;
use super::super::checks::Reach;
use super::super::vault::{Found as Secret, Kept, Vault, VaultError};
use super::authority::Found;
use super::weather::Weather;
use crate::issuance::{
    Answer, Challenge, ChallengeType, Current, Issuer, STATE_ENTRY, Solvable, State, Wanted, home_of,
};

/// Namespace of what Torana keeps for itself.
pub(super) const HOME: &str = "home";

/// All that is around the engine.
#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    clock: Clock,
    weather: Weather,
    secrets: Mutex<Secrets>,
    changes: mpsc::Sender<CertificateKey>,
    wanted: watch::Sender<Arc<Vec<Wanted>>>,
    answers: watch::Sender<BTreeSet<Answer>>,
}

#[derive(Default)]
struct Secrets {
    calls: i64,
    kept: BTreeMap<CertificateKey, (Kept, u64)>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

/// Where the state of a certificate is kept.
fn home(secret: &CertificateKey) -> CertificateKey {
    CertificateKey { namespace: HOME.to_owned(), name: home_of(secret) }
}

/// A certificate that is wanted for one host.
pub(super) fn wanted(host: &str, issuer: Issuer) -> Wanted {
    let secret = CertificateKey { namespace: "shop".to_owned(), name: host.to_owned() };
    Wanted {
        state: State::new(&secret),
        secret,
        issuer,
        hosts: BTreeMap::from([(host.to_owned(), Solvable::By(ChallengeType::Http01))]),
        gateways: BTreeSet::from([GatewayId { namespace: "infra".to_owned(), name: "edge".to_owned() }]),
        owners: BTreeSet::new(),
        current: None,
    }
}

impl World {
    /// One where `wishes` are wanted.
    pub(super) fn new(clock: Clock, weather: Weather, wishes: Vec<Wanted>) -> Self {
        let (changes, heard) = mpsc::channel(10_000);
        let (wanted, answers) = (watch::Sender::new(Arc::new(wishes)), watch::Sender::default());
        let world = Self(Arc::new(Inner { clock, weather, secrets: Mutex::default(), changes, wanted, answers }));
        tokio::spawn(world.clone().translate(heard));
        world
    }

    pub(super) fn wanted(&self) -> watch::Receiver<Arc<Vec<Wanted>>> {
        self.0.wanted.subscribe()
    }

    pub(super) fn answers(&self) -> watch::Receiver<BTreeSet<Answer>> {
        self.0.answers.subscribe()
    }

    /// What an authority finds that looks for the answer of `host`.
    pub(super) fn looks(&self, host: &str, token: &str) -> Found {
        if !self.0.weather.leads_here_from_outside(host, self.0.clock.now()) {
            return Found::Nobody;
        }
        let is_it =
            |answer: &Answer| answer.key_authorization.strip_prefix(token).is_some_and(|it| it.starts_with('.'));
        if self.0.answers.borrow().iter().any(is_it) { Found::Answer } else { Found::Unknown }
    }

    /// What there is of each certificate.
    pub(super) fn served(&self) -> Vec<(CertificateKey, Current)> {
        let wanted = self.0.wanted.borrow();
        wanted.iter().filter_map(|it| Some((it.secret.clone(), it.current.clone()?))).collect()
    }

    /// How certificates stand that are not there.
    pub(super) fn missing(&self) -> Vec<State> {
        let wanted = self.0.wanted.borrow();
        wanted.iter().filter(|it| it.current.is_none()).map(|it| it.state.clone()).collect()
    }

    /// How one stands.
    pub(super) fn state(&self, secret: &CertificateKey) -> Option<State> {
        self.0.wanted.borrow().iter().find(|it| it.secret == *secret).map(|it| it.state.clone())
    }

    async fn translate(self, mut heard: mpsc::Receiver<CertificateKey>) {
        let place = |(at, it): (usize, &Wanted)| [(it.secret.clone(), at), (home(&it.secret), at)];
        let places: HashMap<_, _> = self.0.wanted.borrow().iter().enumerate().flat_map(place).collect();
        while let Some(first) = heard.recv().await {
            sleep(Duration::from_millis(fastrand::u64(50..1500))).await;
            let mut changed = vec![first];
            while let Ok(next) = heard.try_recv() {
                changed.push(next);
            }
            self.0.wanted.send_modify(|wanted| {
                let wanted = Arc::make_mut(wanted);
                for name in &changed {
                    self.read(name, places.get(name).and_then(|at| wanted.get_mut(*at)));
                }
            });
            sleep(Duration::from_secs(1)).await;
            self.confirm(&self.0.wanted.borrow());
        }
    }

    /// As translation has it: what is in the Secret `name`.
    fn read(&self, name: &CertificateKey, wanted: Option<&mut Wanted>) {
        let secrets = self.0.secrets.lock().unwrap();
        let Some((wanted, kept)) = wanted.zip(secrets.kept.get(name).map(|(kept, _)| kept)) else { return };
        match kept.data.get(STATE_ENTRY) {
            Some(text) => wanted.state = State::from_json(text).unwrap(),
            None => wanted.current = kept.current(name),
        }
    }

    /// All proxies know what they are to answer; but for one that is slow, which keeps nothing of the old from being gone.
    fn confirm(&self, wanted: &[Wanted]) {
        let of = |it: &Wanted| -> Vec<Answer> {
            let challenges = it.state.order.iter().flat_map(|order| &order.challenges);
            let gateway = it.gateways.first().unwrap();
            let answer = |it: &Challenge| (gateway.clone(), it.key_authorization.clone());
            challenges.map(answer).map(|(gateway, key_authorization)| Answer { gateway, key_authorization }).collect()
        };
        let mut now: BTreeSet<Answer> = wanted.iter().flat_map(of).collect();
        if self.0.weather.has_slow_proxy(self.0.clock.now()) {
            now.retain(|answer| self.0.answers.borrow().contains(answer));
        }
        self.0.answers.send_replace(now);
    }

    /// Whether the call fails now, and whether after it was carried out.
    async fn call(&self) -> Option<bool> {
        sleep(Duration::from_millis(fastrand::u64(5..60))).await;
        let mut secrets = self.0.secrets.lock().unwrap();
        secrets.calls += 1;
        self.0.weather.loses_call(secrets.calls)
    }

    /// What a call comes to that may be lost.
    async fn done<T>(&self, work: impl FnOnce(&mut Secrets) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let lost = || VaultError::Unavailable("connection reset".to_owned());
        let fate = self.call().await;
        if fate == Some(false) {
            return Err(lost());
        }
        let done = work(&mut self.0.secrets.lock().unwrap());
        if fate.is_some() { Err(lost()) } else { done }
    }
}

#[async_trait]
impl Vault for World {
    async fn read(&self, name: &CertificateKey) -> Result<Option<Secret>, VaultError> {
        let found = |(kept, version): &(Kept, u64)| Secret { kept: kept.clone(), version: version.to_string() };
        self.done(|secrets| Ok(secrets.kept.get(name).map(found))).await
    }

    async fn list(&self, _: &str) -> Result<Vec<(CertificateKey, Kept)>, VaultError> {
        Ok(Vec::new())
    }

    async fn write(&self, name: &CertificateKey, kept: &Kept, version: Option<&str>) -> Result<String, VaultError> {
        let written = |secrets: &mut Secrets| {
            let there = secrets.kept.get(name).map(|(_, version)| *version);
            if there.map(|version| version.to_string()).as_deref() != version {
                return Err(VaultError::Changed);
            }
            let next = there.unwrap_or_default() + 1;
            secrets.kept.insert(name.clone(), (kept.clone(), next));
            self.0.changes.try_send(name.clone()).unwrap();
            Ok(next.to_string())
        };
        self.done(written).await
    }

    async fn remove(&self, name: &CertificateKey, _: &str) -> Result<(), VaultError> {
        self.done(|secrets| {
            secrets.kept.remove(name);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Reach for World {
    async fn look(&self, challenge: &Challenge) -> Result<(), String> {
        let leads_here = self.0.weather.leads_here(&challenge.host, self.0.clock.now());
        if leads_here { Ok(()) } else { Err("DNS leads elsewhere".to_owned()) }
    }

    async fn permits(&self, _: &str, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
}
