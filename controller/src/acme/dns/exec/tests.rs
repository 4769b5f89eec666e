// SPDX-License-Identifier: Apache-2.0
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::*;

const FQDN: &str = "_acme-challenge.example.com.";

/// A program that does what this script says.
fn shell(script: &str) -> Exec {
    Exec { command: ["/bin/sh", "-c", script, "solver"].map(str::to_owned).to_vec() }
}

async fn run(program: &Exec, limit: Duration) -> Result<(), DnsError> {
    program.run(Action::Present, FQDN, "v-1_x", limit).await
}

fn written(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_program_is_given_what_to_do_and_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let program = shell(&format!("cat > {0}; echo \"$@\" >> {0}; env | cut -d= -f1 | sort >> {0}", out.display()));
    program.perform(Action::Present, FQDN, "v-1_x").await.unwrap();
    let text = written(&out);
    assert!(text.starts_with("present _acme-challenge.example.com. v-1_x\n"), "{text}");
    // The shell adds PWD, OLDPWD, SHLVL and _.
    let inherited: Vec<&str> =
        text.lines().skip(1).filter(|name| name.starts_with("CARGO") || *name == "PATH").collect();
    assert_eq!(inherited, ["PATH"]);
    program.perform(Action::CleanUp, FQDN, "v-1_x").await.unwrap();
    assert!(written(&out).starts_with("cleanup _acme-challenge.example.com. v-1_x\n"));
}

#[tokio::test]
async fn a_failure_says_what_the_program_says() {
    let error = run(&shell("echo 'no such  zone' >&2; echo >&2 try again; exit 3"), DEADLINE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "program /bin/sh did not present _acme-challenge.example.com.: exit status: 3: no such zone try again"
    );
    let killed = run(&shell("kill -9 $$"), DEADLINE).await.unwrap_err().to_string();
    assert!(killed.contains("signal: 9"), "{killed}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let error = run(&Exec { command: vec!["/nowhere/solver".to_owned()] }, DEADLINE).await.unwrap_err().to_string();
    assert!(error.starts_with("program /nowhere/solver did not present"), "{error}");
    assert!(error.ends_with("is it there, and may it be executed?"), "{error}");
    assert!(matches!(run(&Exec { command: Vec::new() }, DEADLINE).await, Err(DnsError::Settings { .. })));
}

#[tokio::test]
async fn a_program_that_says_much_is_read_to_the_end_and_not_kept() {
    let program = shell("i=0; while [ $i -lt 2000 ]; do printf '%0500d' 7 >&2; i=$((i + 1)); done; exit 1");
    let error = run(&program, DEADLINE).await.unwrap_err().to_string();
    assert!((4 << 10..5 << 10).contains(&error.len()), "{}", error.len());
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, out) = (Instant::now(), folder.path().join("out"));
    let program = shell(&format!("(sleep 2; echo still here > {}) & sleep 100", out.display()));
    let error = run(&program, Duration::from_millis(300)).await.unwrap_err().to_string();
    assert!(error.contains("it was ended after 300ms"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(written(&out), "");
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_not_waited_for() {
    let begun = Instant::now();
    run(&shell("sleep 20 & exit 0"), DEADLINE).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
}
