// SPDX-License-Identifier: Apache-2.0
//! Broken manifests: the files of `controller/cli/testdata/broken`, whose first lines say what must be found, and those
//! that no repository can hold.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where the manifests of `lint` are. Asked of cargo when the test runs, for two checkouts may share a binary.
///
/// # Panics
/// Outside of `cargo test`.
#[must_use]
pub fn testdata() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    Path::new(&package).join("../controller/cli/testdata")
}

/// One broken manifest.
pub struct Broken {
    /// Of its file.
    pub name: String,
    /// What it is.
    pub form: Form,
    /// Part of the line that `lint` prints.
    pub expect: String,
    /// The object that is named, or `-` where none can be.
    pub object: String,
}

/// What stands in a folder of manifests.
pub enum Form {
    /// A file, which need not be text.
    Text(Vec<u8>),
    /// A link that leads to this path.
    Link(&'static str),
}

impl Broken {
    /// One of which no object can be named.
    #[must_use]
    pub fn new(name: &str, form: Form, expect: &str) -> Self {
        Self { name: name.to_owned(), form, expect: expect.to_owned(), object: "-".to_owned() }
    }

    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).expect("a file");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let promise = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.expect("the first lines say what must be found").trim().to_owned()
        };
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        Self { name, expect: promise("# expect:"), object: promise("# object:"), form: Form::Text(bytes) }
    }

    /// Puts it into a folder in one step. `adapt` changes its text.
    ///
    /// # Panics
    /// If the folder cannot be written to.
    pub fn put(&self, folder: &Path, adapt: impl FnOnce(&str) -> String) {
        let beside = folder.join(".beside");
        match &self.form {
            Form::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => fs::write(&beside, adapt(text)).expect("a file"),
                Err(_) => fs::write(&beside, bytes).expect("a file"),
            },
            Form::Link(target) => symlink(target, &beside).expect("a link"),
        }
        fs::rename(&beside, folder.join(&self.name)).expect("its name");
    }
}

/// All of them, in order of their names.
///
/// # Panics
/// If a file does not say what must be found.
#[must_use]
pub fn broken() -> Vec<Broken> {
    let paths = fs::read_dir(testdata().join("broken")).expect("the folder");
    let mut paths: Vec<PathBuf> = paths.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let mut rows: Vec<Broken> = paths.iter().map(|path| Broken::read(path)).collect();
    let utf16 = "\u{feff}kind: Namespace\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n";
    let long = format!("{namespace}{}", "# and so on\n".repeat(1 << 20));
    let deep = format!("{}x\n", "- ".repeat(100_000));
    rows.extend([
        Broken::new("utf-16.yaml", Form::Text(utf16), "not UTF-8"),
        Broken::new("twelve-mib.yaml", Form::Text(long.into()), "larger than 10 MiB"),
        Broken::new("a-hundred-thousand-levels.yaml", Form::Text(deep.into()), "not readable"),
        Broken::new("binary.yaml", Form::Text((0..=255).collect()), "not UTF-8"),
        Broken::new("link-to-nowhere.yaml", Form::Link("nowhere"), "No such file"),
        Broken::new("link-to-itself.yaml", Form::Link("link-to-itself.yaml"), "symbolic links"),
    ]);
    rows
}
