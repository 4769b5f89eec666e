// SPDX-License-Identifier: Apache-2.0
//! The binary `torana-gateway` as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use torana_tests::{ports, program};

use super::{Controller, NAME, eventually, many};

fn gateway() -> PathBuf {
    program::binary().with_file_name("torana-gateway")
}

pub(super) async fn get(port: u16, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.unwrap_or_default()
}

/// Follows the controller, and has one worker. What it keeps and tells is in the folder.
pub(super) fn start(controller: &Controller, folder: &Path, health: u16) -> Child {
    std::fs::write(folder.join("ca"), &controller.ca).unwrap();
    std::fs::write(folder.join("token"), "p@edge").unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(gateway())
        .args(["--feed", &controller.address.to_string(), "--feed-name", NAME, "--admin", "off", "--workers", "1"])
        .args(["--health", &format!("127.0.0.1:{health}"), "--access-log", "off", "--log-format", "json"])
        .arg("--feed-ca")
        .arg(folder.join("ca"))
        .env("TORANA_FEED_TOKEN", folder.join("token"))
        .env("TORANA_STATE_DIR", folder.join("state"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("torana-gateway starts: build it with `cargo build --profile ci --workspace --bins`")
}

#[tokio::test]
async fn it_starts_follows_serves_and_drains() {
    let (controller, folder) = (Controller::start().await, TempDir::new().unwrap());
    let (port, health) = (ports::free(), ports::free());
    let mut child = start(&controller, folder.path(), health);
    eventually("alive", || async { get(health, "/livez").await.starts_with("HTTP/1.1 200") }).await;
    assert!(get(health, "/readyz").await.ends_with("not ready: table\n"));
    controller.publish(1, 1, many(port, 1, "one.example"));
    controller.in_force(&["p"]).await;
    assert!(get(health, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(port, "/r0").await.contains("one.example"));
    eventually("kept", || async { folder.path().join("state/snapshot").exists() }).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut code = None;
    eventually("ended", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        let ended = code.is_some();
        async move { ended }
    })
    .await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(code, Some(Some(0)), "{log}");
    assert!(log.contains("following the controller"), "{log}");
    tokio::time::timeout(Duration::from_secs(5), controller.stop()).await.unwrap();
}

#[test]
fn wrong_arguments_are_told_and_end_it() {
    let output = Command::new(gateway()).args(["--feed", "x"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--feed-ca"));
}
