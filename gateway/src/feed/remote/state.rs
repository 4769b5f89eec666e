// SPDX-License-Identifier: Apache-2.0
//! The last snapshot as a file: written beside and renamed, with a checksum at its end, so that there is always a whole
//! one or none. Private keys are in it: it is readable by its owner only, and its folder belongs in memory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use torana_ir::{Delta, Sha256, Snapshot, wire};

use super::Mark;
use crate::feed::read;

/// What the file begins with; another format gets another one.
const MAGIC: &[u8; 8] = b"torana01";
/// Length of the checksum that it ends with.
const SUM: usize = 32;
/// A larger file is not read.
const LARGEST: u64 = 1 << 30;
/// Between two writes at least, and so many times as long as the last one took: at most a twentieth of a core.
const PAUSE: Duration = Duration::from_secs(1);
const SHARE: u32 = 20;

/// Where the last snapshot is.
#[derive(Debug, Clone)]
pub(super) struct State {
    folder: PathBuf,
    file: PathBuf,
    beside: PathBuf,
}

/// Writes what is in force after each ack, not more often than is good, until nobody acks any more.
pub(super) async fn keep(state: State, snapshot: Arc<RwLock<Snapshot>>, mut marked: watch::Receiver<Option<Mark>>) {
    let mut failing = false;
    while marked.changed().await.is_ok() {
        let Some(mark) = *marked.borrow_and_update() else { continue };
        let (started, snapshot, state) = (Instant::now(), read(&snapshot).clone(), state.clone());
        let file = state.file.clone();
        let written = tokio::task::spawn_blocking(move || state.save(mark, &snapshot)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(file = %file.display(), %error, "the snapshot is not kept: a restart needs a controller");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE.max(started.elapsed() * SHARE)).await;
    }
}

impl State {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: folder.join("snapshot"), beside: folder.join("snapshot.new") }
    }

    /// What was kept, if it is whole.
    pub(super) async fn load(&self) -> Option<(Mark, Delta)> {
        let file = self.file.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&file)).await;
        match loaded.map_err(io::Error::other).flatten() {
            Ok(kept) => Some(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the snapshot that was kept is of no use");
                None
            }
        }
    }

    fn save(&self, mark: Mark, snapshot: &Snapshot) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.beside)?;
        let mut summed = Summed { to: BufWriter::new(file), sum: Sha256::default() };
        summed.write(MAGIC)?;
        let Mark { epoch, generation } = mark;
        summed.write(
            &wire::Delta { epoch, generation, complete: true, ..Default::default() }.encode_length_delimited_to_vec(),
        )?;
        for resource in Snapshot::default().diff(snapshot).upserts {
            summed.write(&wire::encode(&resource).encode_length_delimited_to_vec())?;
        }
        let Summed { mut to, sum } = summed;
        to.write_all(&sum.finish())?;
        to.into_inner()?.sync_data()?;
        fs::rename(&self.beside, &self.file)
    }
}

/// What is written is summed.
struct Summed {
    to: BufWriter<File>,
    sum: Sha256,
}

impl Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes)
    }
}

fn load(file: &Path) -> io::Result<(Mark, Delta)> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST).read_to_end(&mut bytes)?;
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let content = bytes.len().checked_sub(SUM).ok_or_else(|| damaged("it is too short"))?;
    let (content, sum) = bytes.split_at(content);
    if torana_ir::sha256(content) != sum {
        return Err(damaged("its checksum is another"));
    }
    let mut rest = content.strip_prefix(MAGIC).ok_or_else(|| damaged("it is of another version"))?;
    let wire::Delta { epoch, generation, .. } = wire::Delta::decode_length_delimited(&mut rest)?;
    let mut delta = Delta::default();
    while !rest.is_empty() {
        let upsert = wire::Upsert::decode_length_delimited(&mut rest)?;
        match wire::decode(&upsert) {
            Ok(resource) => delta.upserts.push(resource),
            Err(why) => tracing::warn!(key = upsert.key, %why, "a resource that was kept cannot be read"),
        }
    }
    Ok((Mark { epoch, generation }, delta))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use torana_ir::{Backend, BackendKey, Resource};

    use super::*;

    const MARK: Mark = Mark { epoch: 3, generation: 7 };

    fn snapshot() -> Snapshot {
        let key = BackendKey::tcp("n", "a", 80);
        let mut snapshot = Snapshot::default();
        snapshot.apply(Delta { upserts: vec![Resource::Backend(Backend::new(key).into())], removals: vec![] });
        snapshot
    }

    fn kept(folder: &Path) -> State {
        let state = State::new(folder);
        state.save(MARK, &snapshot()).unwrap();
        state
    }

    #[test]
    fn what_was_kept_is_what_was_in_force_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = kept(folder.path());
        let (mark, delta) = load(&state.file).unwrap();
        assert_eq!((mark, delta), (MARK, Snapshot::default().diff(&snapshot())));
        assert_eq!(fs::metadata(&state.file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_truncated_or_flipped_file_is_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let state = kept(folder.path());
        let good = fs::read(&state.file).unwrap();
        for at in 0..good.len() {
            fs::write(&state.file, &good[..at]).unwrap();
            assert!(load(&state.file).is_err(), "cut at {at}");
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            fs::write(&state.file, flipped).unwrap();
            assert!(load(&state.file).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn a_file_of_another_version_is_of_no_use_though_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshot");
        let content = b"torana99 and more";
        fs::write(&file, [content.as_slice(), &torana_ir::sha256(content)].concat()).unwrap();
        assert!(load(&file).unwrap_err().to_string().contains("another version"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_and_no_more() {
        let state = State::new(Path::new("/proc/nowhere"));
        assert!(state.save(MARK, &snapshot()).is_err());
    }
}
