// SPDX-License-Identifier: Apache-2.0
//! Programs beside Torana; among them backends: `torana echo`, and nginx.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::authority::Issued;
use crate::ports;
use crate::program::{binary, open_many_files};
use crate::world::eventually;

/// A process that is killed when dropped.
pub struct Process {
    child: Child,
    /// Whether all that it has started is killed with it.
    whole: bool,
}

impl Process {
    /// Starts it and waits until it listens on `port` of the loopback address; what it says goes into the file `log`.
    ///
    /// # Panics
    /// If it does not start, or ends; what it said is shown.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path, port: u16) -> Self {
        Self::launch(command, log, port, false)
    }

    /// As [`Process::start`], but killed with all that it has started: a shell with its commands. Not by Ctrl-C.
    ///
    /// # Panics
    /// As [`Process::start`].
    #[must_use]
    pub fn group(command: &mut Command, log: &Path, port: u16) -> Self {
        Self::launch(command.process_group(0), log, port, true)
    }

    fn launch(command: &mut Command, log: &Path, port: u16, whole: bool) -> Self {
        let file = fs::File::create(log).expect("a log file");
        let command = command.stdin(Stdio::null()).stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = command.spawn().map_err(|why| format!("{}: {why}", command.get_program().display()));
        let child = child.expect("the program is installed: ./dev setup");
        let mut process = Self { child, whole };
        let listens = eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok() || process.ended());
        assert!(listens && !process.ended(), "{}", fs::read_to_string(log).unwrap_or_default());
        process
    }

    fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.whole {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL).is_ok();
        }
        let _ = self.child.kill().is_ok();
        let _ = self.child.wait().is_ok();
    }
}

/// A running `torana echo`.
pub struct Echo {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Echo {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(name: &str) -> Self {
        open_many_files();
        let (folder, port) = (TempDir::new().expect("a temporary folder"), ports::free());
        let mut command = Command::new(binary());
        command.args(["echo", "--address", "127.0.0.1", "--name", name, "--port", &port.to_string()]);
        let process = Process::start(&mut command, &folder.path().join("log"), port);
        Self { port, _process: process, _folder: folder }
    }
}

/// A running nginx that serves a folder.
pub struct Nginx {
    /// Where it speaks HTTP/1, on 127.0.0.1.
    pub port: u16,
    /// Where it speaks HTTP/2 in cleartext.
    pub h2c: u16,
    /// Where it speaks TLS and demands a certificate, if it was started so.
    pub tls: u16,
    root: PathBuf,
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it.
    ///
    /// # Panics
    /// If it is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// As [`Nginx::start`], also behind TLS with this certificate, for clients whose certificates these authorities (PEM)
    /// have signed.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn with_tls(certificate: &Issued, clients: &str) -> Self {
        Self::with(Some((certificate, clients)))
    }

    fn with(tls: Option<(&Issued, &str)>) -> Self {
        let (folder, port, h2c) = (TempDir::new().expect("a temporary folder"), ports::free(), ports::free());
        let secure = ports::free();
        let mut listen = String::new();
        if let Some((certificate, clients)) = tls {
            for (name, text) in [("chain", &*certificate.chain), ("key", &*certificate.key), ("clients", clients)] {
                fs::write(folder.path().join(name), text).expect("a file");
            }
            let here = folder.path().display();
            listen = format!(
                "listen 127.0.0.1:{secure} ssl;\nssl_certificate {here}/chain;\nssl_certificate_key {here}/key;\n\
                 ssl_client_certificate {here}/clients;\nssl_verify_client on;\nssl_verify_depth 3;\n"
            );
        }
        let (root, conf) = (folder.path().join("root"), folder.path().join("nginx.conf"));
        fs::create_dir(&root).expect("a folder");
        let here = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|what| format!("{what}_temp_path {here}/{what};\n")).concat();
        // As root the workers would be somebody who may not read the folder.
        let text = format!(
            "user root;\nworker_processes 1;\ndaemon off;\npid {here}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\ninclude /etc/nginx/mime.types;\n{temporary}gzip on;\ngzip_min_length 100;\n\
             gzip_types text/plain;\nkeepalive_requests 1000000;\nclient_max_body_size 0;\n\
             server {{\nlisten 127.0.0.1:{port};\nlisten 127.0.0.1:{h2c} http2;\n{listen}root {here}/root;\n\
             add_header timing-allow-origin *;\nadd_header x-protocol $server_protocol;\n}}\n}}\n"
        );
        fs::write(&conf, text).expect("a configuration");
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
        let program = program.into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("nginx is installed: ./dev setup, or the package nginx"));
        command.arg("-c").arg(&conf).args(["-e", "stderr"]);
        let process = Process::start(&mut command, &folder.path().join("log"), port);
        Self { port, h2c, tls: secure, root, _process: process, _folder: folder }
    }

    /// Puts a file into what it serves.
    ///
    /// # Panics
    /// If the folder is gone.
    pub fn serve(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root.join(name), content).expect("a file");
    }
}
