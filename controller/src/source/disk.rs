// SPDX-License-Identifier: Apache-2.0
//! What is on the disk: which files a set of paths stands for, whether they changed, and their bytes within a limit.
//!
//! Symbolic links are followed, so that a mounted ConfigMap (`web.yaml → ..data/web.yaml`, `..data → ..2026_01_01`)
//! is seen through its links only. Never looks into a text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const FILE_LIMIT: u64 = 10 << 20;
/// Most files of one set of paths.
const FILES_LIMIT: usize = 10_000;
/// Deepest folder below a given one.
const DEPTH: usize = 8;

/// A file as a walk met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    /// Its state.
    pub(super) stamp: Stamp,
    /// Where it really is, if its path is a link: what happens to it is heard there.
    pub(super) target: Option<PathBuf>,
}

/// What identifies one state of a file; the link's target counts, not the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a walk over the paths saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Files to read, by the path that the user would write.
    pub(super) files: BTreeMap<PathBuf, Sighting>,
    /// Folders in which a change matters, with the inode that a watch would hold.
    pub(super) folders: BTreeMap<PathBuf, u64>,
    /// What could not be looked at, and why. Nothing below such a path counts as gone.
    pub(super) unreadable: BTreeMap<PathBuf, String>,
}

/// Looks at every path: a file stands for itself, a folder for its `*.yaml`, `*.yml` and `*.json`, also those of its
/// folders, except hidden ones.
pub(super) fn walk(paths: &[PathBuf]) -> Seen {
    let mut seen = Seen::default();
    for path in paths {
        if let Some(parent) = path.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            if let Ok(meta) = fs::metadata(parent) {
                seen.folders.insert(parent.to_owned(), meta.ino());
            }
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => seen.folder(path, &meta, &mut Vec::new()),
            Ok(meta) => seen.file(path.clone(), &meta, path.is_symlink()),
            Err(error) => drop(seen.unreadable.insert(path.clone(), error.to_string())),
        }
    }
    seen
}

impl Seen {
    /// `above` holds the inodes of the folders on the way down: a link to one of them is a loop.
    fn folder(&mut self, path: &Path, meta: &fs::Metadata, above: &mut Vec<(u64, u64)>) {
        let identity = (meta.dev(), meta.ino());
        if above.contains(&identity) {
            return;
        }
        if above.len() > DEPTH {
            self.unreadable.insert(path.to_owned(), format!("more than {DEPTH} folders deep"));
            return;
        }
        self.folders.insert(path.to_owned(), meta.ino());
        above.push(identity);
        match fs::read_dir(path) {
            Ok(entries) => entries.for_each(|entry| self.entry(path, entry, above)),
            Err(error) => drop(self.unreadable.insert(path.to_owned(), error.to_string())),
        }
        above.pop();
    }

    fn entry(&mut self, folder: &Path, entry: io::Result<fs::DirEntry>, above: &mut Vec<(u64, u64)>) {
        let (path, is_link) = match entry {
            Ok(entry) => (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_symlink())),
            Err(error) => return drop(self.unreadable.insert(folder.to_owned(), error.to_string())),
        };
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            return;
        }
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => self.folder(&path, &meta, above),
            Ok(meta) if meta.is_file() && is_manifest(&path) => self.file(path, &meta, is_link),
            // What is gone since the folder was read is no trouble: the next walk will not see it.
            Err(error) if is_manifest(&path) && path.symlink_metadata().is_ok() => {
                self.unreadable.insert(path, error.to_string());
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn file(&mut self, path: PathBuf, meta: &fs::Metadata, is_link: bool) {
        if self.files.len() >= FILES_LIMIT {
            self.unreadable.insert(path, format!("more than {FILES_LIMIT} files"));
            return;
        }
        let target = is_link.then(|| fs::canonicalize(&path).ok()).flatten();
        if let Some(folder) = target.as_deref().and_then(Path::parent)
            && let Ok(meta) = fs::metadata(folder)
        {
            self.folders.insert(folder.to_owned(), meta.ino());
        }
        self.files.insert(path, Sighting { stamp: Stamp::of(meta), target });
    }

    /// Whether `path` could not be looked at in this walk, itself or by its folder.
    pub(super) fn is_unknown(&self, path: &Path) -> bool {
        path.ancestors().any(|one| self.unreadable.contains_key(one))
    }
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// Reads a file as UTF-8 of at most [`FILE_LIMIT`] bytes; the error is one sentence.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    text(file)
}

/// Reads standard input to its end, as [`read`] does.
pub(super) fn read_stdin() -> Result<String, String> {
    text(io::stdin().lock())
}

fn text(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    source.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(format!("larger than {} MiB", FILE_LIMIT >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(seen: &Seen, root: &Path) -> Vec<String> {
        seen.files.keys().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_folder_stands_for_its_manifests_and_not_for_hidden_ones() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("sub/.git")).unwrap();
        fs::create_dir(at("..2026")).unwrap();
        for name in ["a.yaml", "b.yml", "c.json", "d.txt", ".e.yaml", "sub/f.yaml", "sub/.git/g.yaml", "..2026/h.yaml"]
        {
            fs::write(at(name), "a: 1").unwrap();
        }
        symlink("..2026", at("..data")).unwrap();
        symlink("..data/h.yaml", at("h.yaml")).unwrap();
        symlink(".", at("loop")).unwrap();
        symlink("nowhere", at("broken.yaml")).unwrap();
        let seen = walk(&[root.path().to_owned()]);
        assert_eq!(names(&seen, root.path()), ["a.yaml", "b.yml", "c.json", "h.yaml", "sub/f.yaml"]);
        assert_eq!(seen.unreadable.keys().collect::<Vec<_>>(), [&at("broken.yaml")]);
    }

    #[test]
    fn a_swapped_link_changes_the_stamp() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), "a: 1").unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let before = walk(&[root.path().to_owned()]).files;
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_ne!(walk(&[root.path().to_owned()]).files, before);
    }

    #[test]
    fn a_missing_path_is_unknown_with_all_that_was_below() {
        let seen = walk(&[PathBuf::from("/nonexistent/folder")]);
        assert!(seen.is_unknown(Path::new("/nonexistent/folder/a/b.yaml")));
        assert!(!seen.is_unknown(Path::new("/nonexistent/other")));
    }

    #[test]
    fn a_file_beyond_the_limit_and_bytes_that_are_no_text_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.yaml");
        fs::write(&path, vec![b'#'; (FILE_LIMIT + 1) as usize]).unwrap();
        assert_eq!(read(&path).unwrap_err(), "larger than 10 MiB");
        fs::write(&path, b"a: \xff").unwrap();
        assert_eq!(read(&path).unwrap_err(), "not UTF-8 at byte 3");
    }
}
