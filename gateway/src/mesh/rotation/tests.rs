// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use tempfile::TempDir;
use tokio::time::timeout;

use super::super::samples::ca::Ca;
use super::super::samples::{API, Root, WEB, day};
use super::*;
use crate::mesh::FolderConfig;
use crate::mesh::authority::Refusal;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The clock of a test: it stands still while nothing waits.
fn clock() -> Clock {
    let (start, began) = (SystemTime::now(), Instant::now());
    Arc::new(move || start + began.elapsed())
}

/// An authority without a network.
#[derive(Clone)]
struct Script(Arc<Mutex<Conduct>>);

struct Conduct {
    clock: Clock,
    root: Root,
    lifetime: Duration,
    is_down: bool,
    hangs: bool,
    /// What the file with the roots holds.
    file: Option<Roots>,
    asked: Vec<Instant>,
}

impl Script {
    fn new(clock: &Clock, lifetime: Duration) -> Self {
        let root = Root::new("root");
        let (clock, file) = (Arc::clone(clock), Some(root.roots()));
        let conduct = Conduct { clock, root, lifetime, is_down: false, hangs: false, file, asked: Vec::new() };
        Self(Arc::new(Mutex::new(conduct)))
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.0.lock().unwrap()
    }
}

impl Issuer for Script {
    async fn issue(&self) -> Result<Issued, Refusal> {
        self.conduct().asked.push(Instant::now());
        if self.conduct().hangs {
            sleep(10 * SECOND).await;
            return Err(Refusal::Late(10 * SECOND));
        }
        let bundle = self.bundle().await?;
        let conduct = self.conduct();
        if conduct.is_down {
            return Err(Refusal::Said("it is down".to_owned()));
        }
        let now = (conduct.clock)();
        let svid = conduct.root.issue(&[WEB], (now - MINUTE, now + conduct.lifetime)).svid(&conduct.root);
        Ok(Issued { svid, bundle })
    }

    async fn bundle(&self) -> Result<Roots, Refusal> {
        let file = self.conduct().file.clone();
        file.ok_or_else(|| Refusal::Roots("roots.pem".to_owned(), torana_ir::TrustError::NoCertificate))
    }
}

/// A rotation that runs.
struct Running {
    states: watch::Receiver<State>,
    tally: Arc<Tally>,
}

impl Running {
    fn of(script: &Script) -> Self {
        let board = Board::new(State::Initializing, Arc::clone(&script.conduct().clock));
        let running = Self { states: board.states(), tally: Arc::clone(board.tally()) };
        tokio::spawn(Renewing::new(script.clone(), board).run());
        running
    }

    fn files(folder: &Path) -> Self {
        Self::started(Rotation::timed(
            Some(Source::Files(FolderConfig { path: folder.to_owned(), more_roots: Vec::new() })),
            clock(),
        ))
    }

    fn started(rotation: Rotation) -> Self {
        let running = Self { states: rotation.states(), tally: rotation.tally() };
        tokio::spawn(rotation.run());
        running
    }

    /// The credential once there is one other than number `but`.
    async fn next(&mut self, but: u64) -> Arc<Credential> {
        let is_next = |state: &State| state.credential().is_some_and(|credential| credential.id != but);
        let state = self.states.wait_for(is_next).await.unwrap();
        Arc::clone(state.credential().unwrap())
    }

    async fn why(&mut self) -> String {
        let state = self.states.wait_for(|state| matches!(state, State::Unavailable { .. })).await.unwrap();
        let State::Unavailable { why, .. } = &*state else { panic!("{state:?}") };
        why.as_ref().to_owned()
    }

    fn id(&self) -> Option<u64> {
        self.states.borrow().credential().map(|credential| credential.id)
    }
}

#[test]
fn half_a_life_is_half_less_or_more_by_a_hundredth() {
    let now = SystemTime::now();
    let at = |life, drawn| renewal(now, now + life, drawn).duration_since(now).unwrap();
    for (drawn, percent) in [(0.0, 49), (0.5, 50), (1.0, 51)] {
        let seconds = at(100 * HOUR, drawn).as_secs_f64() / 3600.0;
        assert!((seconds - f64::from(percent)).abs() < 1e-6, "{seconds}");
    }
    assert_eq!(at(SECOND / 10, 0.5), PAUSES.0, "never at once");
    assert_eq!(at(Duration::ZERO, 0.5), PAUSES.0);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_at_half_its_life() {
    let clock = clock();
    let script = Script::new(&clock, 24 * HOUR);
    let mut running = Running::of(&script);
    assert_eq!(running.tally.state(), "initializing");
    let first = running.next(0).await;
    let began = Instant::now();
    let second = running.next(first.id).await;
    let after = began.elapsed();
    assert!(after > 11 * HOUR + 45 * MINUTE && after < 12 * HOUR + 15 * MINUTE, "{after:?}");
    assert_ne!(first.key.cert, second.key.cert);
    assert_eq!((running.tally.renewed(), running.tally.failed(), running.tally.state()), (2, 0, "available"));
    let end = second.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(running.tally.expires_at(), end.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_down_at_first_is_asked_ever_more_seldom_until_it_is_there() {
    let script = Script::new(&clock(), 24 * HOUR);
    script.conduct().is_down = true;
    let mut running = Running::of(&script);
    assert_eq!(running.why().await, "the authority says: it is down");
    sleep(20 * MINUTE).await;
    let asked = script.conduct().asked.clone();
    let mut longest = PAUSES.0;
    for pair in asked.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= longest / 2 && pause <= longest + SECOND / 10, "{pause:?} of {longest:?}");
        longest = (longest * 2).min(PAUSES.1);
    }
    assert_eq!(longest, PAUSES.1);
    assert_eq!(running.tally.failed(), asked.len() as u64);
    script.conduct().is_down = false;
    let credential = timeout(PAUSES.1, running.next(0)).await.unwrap();
    assert_eq!(credential.spiffe_id, WEB);
}

#[tokio::test(start_paused = true)]
async fn a_valid_certificate_outlives_failures_and_goes_with_its_end() {
    let clock = clock();
    let script = Script::new(&clock, HOUR);
    let mut running = Running::of(&script);
    let first = running.next(0).await;
    script.conduct().is_down = true;
    sleep(59 * MINUTE).await;
    assert!(running.tally.failed() > 10);
    assert_eq!(running.id(), Some(first.id));
    assert_eq!(running.why().await, "the certificate has ended: the authority says: it is down");
    let late = clock().duration_since(first.not_after).unwrap();
    assert!(late < SECOND, "{late:?}");
    assert_eq!((running.tally.state(), running.tally.expires_at()), ("unavailable", 0));
    script.conduct().is_down = false;
    assert!(timeout(PAUSES.1, running.next(0)).await.unwrap().id > first.id);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_hangs_does_not_keep_an_ended_certificate_in_force() {
    let clock = clock();
    let script = Script::new(&clock, MINUTE);
    let mut running = Running::of(&script);
    let first = running.next(0).await;
    script.conduct().hangs = true;
    running.why().await;
    let late = clock().duration_since(first.not_after).unwrap();
    assert!(late < SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn other_roots_in_the_file_are_another_generation_of_the_same_certificate() {
    let script = Script::new(&clock(), 24 * HOUR);
    let mut running = Running::of(&script);
    let first = running.next(0).await;
    let (old, new) = (script.conduct().root.roots(), Root::new("new"));
    script.conduct().file = Some(old.union(&new.roots()));
    let second = timeout(POLL * 2, running.next(first.id)).await.unwrap();
    assert_eq!((second.roots.len(), &second.key.cert), (2, &first.key.cert));
    // The authority signs with the new one from now on; ours was signed by the old one.
    script.conduct().file = Some(new.roots());
    script.conduct().root = new;
    sleep(HOUR).await;
    assert_eq!(running.id(), Some(second.id), "what came with our certificate stays: nothing has changed");
    let third = running.next(second.id).await;
    assert_eq!(third.roots.len(), 1);
    assert_eq!(script.conduct().asked.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn roots_that_are_damaged_leave_the_last_ones_in_force() {
    let script = Script::new(&clock(), 24 * HOUR);
    let mut running = Running::of(&script);
    let first = running.next(0).await;
    let roots = script.conduct().file.take();
    sleep(HOUR).await;
    assert_eq!((running.id(), running.tally.failed()), (Some(first.id), 1), "it is counted once");
    script.conduct().file = roots;
    sleep(HOUR).await;
    assert_eq!((running.id(), running.tally.failed(), running.tally.renewed()), (Some(first.id), 1, 1));
}

#[tokio::test(start_paused = true)]
async fn when_the_roots_are_there_at_last_the_authority_is_asked_at_once() {
    let script = Script::new(&clock(), 24 * HOUR);
    let roots = script.conduct().file.take();
    let mut running = Running::of(&script);
    assert_eq!(running.why().await, "roots.pem: it holds no PEM certificate");
    sleep(HOUR).await;
    script.conduct().file = roots;
    timeout(POLL * 2, running.next(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_without_an_identity_stays_so() {
    let running = Running::started(Rotation::timed(None, clock()));
    sleep(HOUR).await;
    assert!(matches!(*running.states.borrow(), State::Absent));
    assert_eq!(running.tally.state(), "absent");
}

/// A folder as kubelet keeps it: files are symlinks into `..data`, which is one to the version in force.
struct Volume(TempDir, u32);

impl Volume {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(file), folder.path().join(file)).unwrap();
        }
        Self(folder, 0)
    }

    /// Swaps in another version, and removes the last.
    fn write(&mut self, chain: &str, key: &str, ca: &str) {
        self.1 += 1;
        let version = self.0.path().join(format!("..{}", self.1));
        fs::create_dir(&version).unwrap();
        for (file, text) in [("tls.crt", chain), ("tls.key", key), ("ca.crt", ca)] {
            fs::write(version.join(file), text).unwrap();
        }
        let beside = self.0.path().join("..data_tmp");
        symlink(&version, &beside).unwrap();
        fs::rename(beside, self.0.path().join("..data")).unwrap();
        fs::remove_dir_all(self.0.path().join(format!("..{}", self.1 - 1))).ok();
    }

    fn issue(&mut self, root: &Root, uri: &str) {
        let leaf = root.issue(&[uri], day());
        self.write(&leaf.chain, &leaf.key, &root.pem());
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_followed_when_their_volume_is_swapped_and_only_then() {
    let (root, mut volume) = (Root::new("root"), Volume::new());
    volume.issue(&root, WEB);
    let mut running = Running::files(volume.0.path());
    let first = running.next(0).await;
    assert_eq!(first.spiffe_id, WEB);
    sleep(HOUR).await;
    assert_eq!((running.id(), running.tally.renewed()), (Some(first.id), 1));
    volume.issue(&root, API);
    let second = timeout(POLL * 2, running.next(first.id)).await.unwrap();
    assert_eq!(second.spiffe_id, API);
    assert_eq!((running.tally.renewed(), running.tally.failed()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn files_are_read_of_one_version_though_it_is_swapped_meanwhile() {
    let (root, mut volume) = (Root::new("root"), Volume::new());
    volume.issue(&root, WEB);
    // As it would be if the version were swapped after the certificate was read.
    let key = volume.0.path().join("tls.key");
    fs::remove_file(&key).unwrap();
    fs::write(key, root.issue(&[WEB], day()).key).unwrap();
    let mut running = Running::files(volume.0.path());
    timeout(POLL, running.next(0)).await.unwrap();
    assert_eq!(running.tally.failed(), 0);
}

#[tokio::test(start_paused = true)]
async fn files_with_the_same_content_are_no_new_generation() {
    let (root, mut volume) = (Root::new("root"), Volume::new());
    let leaf = root.issue(&[WEB], day());
    volume.write(&leaf.chain, &leaf.key, &root.pem());
    let mut running = Running::files(volume.0.path());
    let first = running.next(0).await;
    volume.write(&leaf.chain, &leaf.key, &format!("# the same, twice\n{}{}", root.pem(), root.pem()));
    sleep(MINUTE).await;
    assert_eq!(running.id(), Some(first.id));
    volume.write(&leaf.chain, &leaf.key, &format!("{}{}", root.pem(), Root::new("other").pem()));
    let second = timeout(POLL * 2, running.next(first.id)).await.unwrap();
    assert_eq!((second.roots.len(), &second.serial), (2, &first.serial));
}

#[tokio::test(start_paused = true)]
async fn files_that_are_damaged_leave_the_last_identity_in_force() {
    let (root, mut volume) = (Root::new("root"), Volume::new());
    let good = root.issue(&[WEB], day());
    volume.write(&good.chain, &good.key, &root.pem());
    let mut running = Running::files(volume.0.path());
    let first = running.next(0).await;
    let (other, now) = (root.issue(&[WEB], day()), SystemTime::now());
    let old = root.issue(&[WEB], (now - 2 * HOUR, now - HOUR));
    let future = root.issue(&[WEB], (now + 2 * HOUR, now + 3 * HOUR));
    let nobody = root.issue(&["web.default.svc"], day());
    let damages = [
        ("", &*good.key, &*root.pem()),
        (&good.chain, "", &root.pem()),
        (&good.chain, &other.key, &root.pem()),
        (&good.chain, &good.key, "damaged"),
        (&old.chain, &old.key, &root.pem()),
        (&future.chain, &future.key, &root.pem()),
        (&nobody.chain, &nobody.key, &root.pem()),
    ];
    for (at, (chain, key, ca)) in damages.into_iter().enumerate() {
        volume.write(chain, key, ca);
        sleep(MINUTE).await;
        assert_eq!(running.id(), Some(first.id), "{at}");
        assert_eq!(running.tally.failed(), at as u64 + 1, "each is counted once");
    }
    fs::remove_file(volume.0.path().join("..data")).unwrap();
    sleep(MINUTE).await;
    assert_eq!((running.id(), running.tally.failed()), (Some(first.id), 8));
    volume.issue(&root, WEB);
    timeout(POLL * 2, running.next(first.id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_certificate_in_files_that_nobody_renews_goes_with_its_end() {
    let (root, mut volume) = (Root::new("root"), Volume::new());
    let now = SystemTime::now();
    let leaf = root.issue(&[WEB], (now - MINUTE, now + HOUR));
    volume.write(&leaf.chain, &leaf.key, &root.pem());
    let mut running = Running::files(volume.0.path());
    running.next(0).await;
    assert!(running.why().await.starts_with("the certificate has ended"));
    volume.issue(&root, WEB);
    timeout(POLL * 2, running.next(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_that_come_late_are_an_identity_then() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("certificates");
    let mut running = Running::files(&inside);
    let why = running.why().await;
    assert!(why.starts_with(&*inside.to_string_lossy()), "{why}");
    fs::create_dir(&inside).unwrap();
    let root = Root::new("root");
    let leaf = root.issue(&[WEB], day());
    for (file, text) in [("tls.crt", leaf.chain), ("tls.key", leaf.key), ("ca.crt", root.pem())] {
        fs::write(inside.join(file), text).unwrap();
    }
    timeout(POLL * 2, running.next(0)).await.unwrap();
}

/// With a real clock, over the network.
#[tokio::test]
async fn a_short_lived_certificate_is_renewed_and_a_new_root_taken_from_the_answer() {
    let ca = Ca::start().await;
    ca.conduct().lifetime = 3 * SECOND;
    let mut running = Running::started(Rotation::new(Some(Source::Authority(ca.config()))));
    let first = running.next(0).await;
    assert_eq!((&*first.spiffe_id, first.roots.len()), (WEB, 1));
    let both = {
        let mut conduct = ca.conduct();
        let old = std::mem::replace(&mut conduct.root, Root::new("new root"));
        format!("{}{}", old.pem(), conduct.root.pem())
    };
    ca.write_roots(&both);
    // Either the file or the renewal came first.
    let renewed =
        |state: &State| state.credential().is_some_and(|now| now.serial != first.serial && now.roots.len() == 2);
    timeout(10 * SECOND, running.states.wait_for(renewed)).await.unwrap().unwrap();
    assert_eq!(running.tally.state(), "available");
}
