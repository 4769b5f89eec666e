// SPDX-License-Identifier: Apache-2.0

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use torana_crds::issuer::AskService;
use torana_ir::{GatewayId, HostPattern, ListenerKey};

use super::*;
use crate::acme::vault::FolderVault;
use crate::issuance::{Consents, Issuer};

const NOW: i64 = 1_800_000_000;

/// A service that answers as it is told, and remembers the names that it was asked about.
struct Judge {
    url: String,
    answers: Arc<Mutex<HashMap<String, u16>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Judge {
    async fn new(answers: &[(&str, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/may?key=s3cret", listener.local_addr().unwrap());
        let answers = answers.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
        let judge = Self { url, answers: Arc::new(Mutex::new(answers)), asked: Arc::default() };
        let (answers, asked) = (Arc::clone(&judge.answers), Arc::clone(&judge.asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
                let head = String::from_utf8(head).unwrap();
                let name =
                    head.strip_prefix("GET /may?key=s3cret&domain=").and_then(|it| it.split_once(' ')).unwrap().0;
                let status = answers.lock().unwrap().get(name).copied().unwrap_or(404);
                asked.lock().unwrap().push(name.to_owned());
                stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        judge
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort_unstable();
        asked
    }
}

/// An asker, and the part of translation that makes offers of what is kept.
struct Stage {
    judge: Judge,
    asker: Asker,
    offers: watch::Sender<Arc<Vec<Offer>>>,
    leads: watch::Sender<bool>,
    now: Arc<AtomicI64>,
    _root: tempfile::TempDir,
}

fn secret() -> CertificateKey {
    CertificateKey { namespace: "shop".into(), name: "tls".into() }
}

fn listener(name: &str) -> ListenerKey {
    let gateway = GatewayId { namespace: "shop".to_owned(), name: "edge".to_owned() };
    ListenerKey { gateway, set: None, name: name.to_owned() }
}

impl Stage {
    async fn new(answers: &[(&str, u16)]) -> Self {
        let judge = Judge::new(answers).await;
        let (offers, of_offers) = watch::channel(Arc::default());
        let (leads, of_leads) = watch::channel(true);
        let (_, demands) = mpsc::channel(1);
        let root = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(FolderVault::open(root.path()).unwrap());
        let now = Arc::new(AtomicI64::new(NOW));
        let told = Arc::clone(&now);
        let asker = Asker::new(AskerParts {
            vault: (vault, "home".to_owned()),
            clock: Clock::new(move || told.load(Ordering::SeqCst)),
            offers: of_offers,
            demands,
            leads: of_leads,
            tally: Tally::new(|_| ()),
        });
        let stage = Self { judge, asker, offers, leads, now, _root: root };
        stage.offer().await;
        stage
    }

    async fn kept(&self) -> BTreeMap<String, i64> {
        let name = CertificateKey { namespace: "home".to_owned(), name: Consents::home_of(&secret()) };
        let found = self.asker.vault.read(&name).await.unwrap();
        found
            .map(|it| Consents::from_json(&it.kept.data["consents.json"], &secret()).unwrap().hosts)
            .unwrap_or_default()
    }

    async fn offer(&self) {
        let ask = AskService { url: self.judge.url.clone(), ca_bundle: None, headers_secret_ref: None };
        let issuer = Issuer { ask: Some(ask), ..Issuer::new("pebble", "https://pebble/dir") };
        let consents = Arc::new(Consents { hosts: self.kept().await, ..Consents::new(&secret()) });
        let hostname = HostPattern::parse("*.example").unwrap();
        self.offers.send_replace(Arc::new(vec![Offer {
            listener: listener("https"),
            hostname,
            secret: secret(),
            issuer,
            consents,
        }]));
    }

    /// Names that are demanded, of which everything has come that comes of it.
    async fn demand(&mut self, names: &[&str]) {
        for name in names {
            self.asker.demanded(&Demand::new(listener("https"), name).unwrap());
        }
        self.settle().await;
    }

    async fn settle(&mut self) {
        while let Some(answered) = self.asker.jobs.join_next().await {
            self.asker.ended(answered).await;
        }
        self.offer().await;
    }

    fn later(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn names(&self) -> Vec<String> {
        self.kept().await.into_keys().collect()
    }
}

#[tokio::test]
async fn what_is_agreed_to_is_kept_and_asked_about_once() {
    let mut stage = Stage::new(&[("a.shop.example", 200), ("b.shop.example", 204)]).await;
    stage.demand(&["a.shop.example", "a.shop.example", "b.shop.example", "c.shop.example"]).await;
    assert_eq!(stage.judge.asked(), ["a.shop.example", "b.shop.example", "c.shop.example"]);
    assert_eq!(
        stage.kept().await,
        BTreeMap::from([("a.shop.example".to_owned(), NOW), ("b.shop.example".to_owned(), NOW)])
    );
    stage.demand(&["a.shop.example", "b.shop.example", "c.shop.example"]).await;
    assert!(stage.judge.asked().is_empty(), "all of that is known");
    stage.later(AFTER_NO);
    stage.demand(&["c.shop.example"]).await;
    assert_eq!(stage.judge.asked(), ["c.shop.example"], "who said no may say yes later");
}

#[tokio::test]
async fn only_names_of_the_listener_are_asked_about_and_none_that_many_share() {
    let mut stage = Stage::new(&[]).await;
    stage.demand(&["a.other", "shop.example.org", "co.uk"]).await;
    stage.asker.demanded(&Demand::new(listener("other"), "a.shop.example").unwrap());
    stage.settle().await;
    assert!(stage.judge.asked().is_empty());
}

#[tokio::test]
async fn a_service_that_does_not_say_is_asked_again_soon_and_takes_nothing_away() {
    let mut stage = Stage::new(&[
        ("a.shop.example", 200),
        ("b.shop.example", 503),
        ("c.shop.example", 429),
        ("d.shop.example", 302),
    ])
    .await;
    stage.demand(&["a.shop.example", "b.shop.example", "c.shop.example", "d.shop.example"]).await;
    assert_eq!((stage.judge.asked().len(), stage.names().await), (4, vec!["a.shop.example".to_owned()]));
    stage.later(AFTER_NOTHING);
    stage
        .judge
        .answers
        .lock()
        .unwrap()
        .extend([("b.shop.example".to_owned(), 200), ("a.shop.example".to_owned(), 500)]);
    stage.demand(&["b.shop.example"]).await;
    stage.later(DAY);
    stage.asker.review().await;
    stage.settle().await;
    assert_eq!(stage.judge.asked(), ["a.shop.example", "b.shop.example", "b.shop.example"]);
    assert_eq!(stage.names().await, ["a.shop.example", "b.shop.example"]);
}

#[tokio::test]
async fn what_is_not_agreed_to_any_more_is_forgotten_within_a_day() {
    let mut stage = Stage::new(&[("a.shop.example", 200), ("b.shop.example", 200)]).await;
    stage.demand(&["a.shop.example", "b.shop.example"]).await;
    stage.later(DAY - 1);
    stage.asker.review().await;
    stage.settle().await;
    assert_eq!(stage.judge.asked().len(), 2, "it is early");
    stage.judge.answers.lock().unwrap().remove("a.shop.example");
    stage.later(1);
    stage.asker.review().await;
    stage.settle().await;
    assert_eq!(stage.judge.asked(), ["a.shop.example", "b.shop.example"]);
    assert_eq!(stage.kept().await, BTreeMap::from([("b.shop.example".to_owned(), NOW + DAY)]));
}

#[tokio::test]
async fn consents_that_no_listener_offers_are_forgotten_after_a_month() {
    let mut stage = Stage::new(&[("a.shop.example", 200)]).await;
    stage.demand(&["a.shop.example"]).await;
    stage.later(31 * DAY);
    stage.asker.review().await;
    assert_eq!(stage.names().await, ["a.shop.example"], "it is offered");
    stage.offers.send_replace(Arc::default());
    stage.now.store(NOW + 29 * DAY, Ordering::SeqCst);
    stage.asker.review().await;
    assert_eq!(stage.names().await, ["a.shop.example"]);
    stage.later(DAY);
    stage.asker.review().await;
    assert!(stage.names().await.is_empty());
}

#[tokio::test]
async fn who_does_not_lead_asks_nobody() {
    let mut stage = Stage::new(&[("a.shop.example", 200)]).await;
    stage.leads.send_replace(false);
    stage.demand(&["a.shop.example"]).await;
    assert!(stage.judge.asked().is_empty());
    stage.leads.send_replace(true);
    stage.asker.demanded(&Demand::new(listener("https"), "a.shop.example").unwrap());
    stage.leads.send_replace(false);
    stage.asker.lead();
    stage.settle().await;
    assert!(stage.names().await.is_empty(), "what was about to be asked is forgotten");
}

#[tokio::test]
async fn strangers_make_no_more_questions_than_there_is_room_for() {
    let mut stage = Stage::new(&[]).await;
    for at in 0..2 * MOST_QUESTIONS {
        stage.asker.demanded(&Demand::new(listener("https"), &format!("n{at}.shop.example")).unwrap());
    }
    assert_eq!((stage.asker.jobs.len(), stage.asker.asking.len()), (MOST_QUESTIONS, MOST_QUESTIONS));
}
