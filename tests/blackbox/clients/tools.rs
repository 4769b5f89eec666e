// SPDX-License-Identifier: Apache-2.0
//! curl, `openssl s_client`, h2load and nghttp: a row is a command and what its output must hold.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::Stage;

/// Seconds that one command may take.
const PATIENCE: &str = "60";

/// A command for `bash`; `$HTTP`, `$HTTPS` (ports), `$CA` (the trusted root) and `$DIR` (a folder) are set.
struct Row {
    command: &'static str,
    /// All of these are in its output.
    wants: &'static [&'static str],
}

const fn row(command: &'static str, wants: &'static [&'static str]) -> Row {
    Row { command, wants }
}

/// `curl` is a function here: it trusts the root, and finds every host on the loopback address.
const CURL: &[Row] = &[
    row("curl -i http://echo.example.com:$HTTP/a?b=c", &["HTTP/1.1 200 OK", "\"query\": \"b=c\"", "x-request-id"]),
    row("curl -i --http1.0 http://echo.example.com:$HTTP/", &[" 200 ", "connection: close", "\"name\": \"echo\""]),
    row(
        "curl -i --http2-prior-knowledge http://echo.example.com:$HTTP/",
        &["HTTP/2 200", "\"protocol\": \"HTTP/1.1\""],
    ),
    // An upgrade to HTTP/2 (RFC 7540 §3.2) is history: the answer comes over HTTP/1.1.
    row("curl -i --http2 http://echo.example.com:$HTTP/", &["HTTP/1.1 200 OK"]),
    row("curl -i https://echo.example.com:$HTTPS/", &["HTTP/2 200", "\"x-forwarded-proto\":[\"https\"]"]),
    row(
        "curl -i --http1.1 https://echo.example.com:$HTTPS/",
        &["HTTP/1.1 200 OK", "\"x-forwarded-proto\":[\"https\"]"],
    ),
    row("curl -v --tls-max 1.2 https://echo.example.com:$HTTPS/ 2>&1", &["TLSv1.2", "HTTP/2 200"]),
    row("curl -i https://echo-h2.example.com:$HTTPS/", &["HTTP/2 200", "\"protocol\": \"HTTP/2\""]),
    row("curl -i http://echo-h2.example.com:$HTTP/", &["HTTP/1.1 200 OK", "\"protocol\": \"HTTP/2\""]),
    row("curl -I http://echo.example.com:$HTTP/bytes/1000", &["HTTP/1.1 200 OK", "content-length: 1000"]),
    row("curl -I https://nginx.example.com:$HTTPS/text.txt", &["HTTP/2 200", "content-length: 20000"]),
    row("curl -T $DIR/mib http://echo.example.com:$HTTP/", &["\"body_bytes\": 1048576", "\"method\": \"PUT\""]),
    row("curl -T $DIR/mib https://echo.example.com:$HTTPS/", &["\"body_bytes\": 1048576"]),
    row("curl -T $DIR/mib https://echo-h2.example.com:$HTTPS/", &["\"body_bytes\": 1048576"]),
    row("curl -v -T - http://echo.example.com:$HTTP/ <$DIR/mib 2>&1", &["HTTP/1.1 100", "\"body_bytes\": 1048576"]),
    row("curl -T - https://echo.example.com:$HTTPS/echo <$DIR/mib | cmp - $DIR/mib && echo same", &["same"]),
    row("curl -T - http://echo-h2.example.com:$HTTP/echo <$DIR/mib | cmp - $DIR/mib && echo same", &["same"]),
    row("curl -d a=b -X PATCH http://echo.example.com:$HTTP/", &["\"method\": \"PATCH\"", "\"body\": \"a=b\""]),
    // HTTP/1 backends send trailers to those who ask for them.
    row(
        "curl --raw -D - -H 'TE: trailers' http://echo.example.com:$HTTP/trailers",
        &["chunked", "x-echo-trailer: here"],
    ),
    row("curl --raw -D - http://echo-h2.example.com:$HTTP/trailers", &["chunked", "x-echo-trailer: here"]),
    row("curl -o /dev/null -w '%{size_download}' https://echo.example.com:$HTTPS/bytes/9999999", &["9999999"]),
    // One connection for many requests.
    row("curl -o /dev/null -w '%{num_connects},' http://echo.example.com:$HTTP/[1-5]", &["1,0,0,0,0,"]),
    row("curl -o /dev/null -w '%{num_connects},' https://nginx.example.com:$HTTPS/text.txt?[1-5]", &["1,0,0,0,0,"]),
    // Fifty at a time over one HTTP/2 connection.
    row(
        "curl -Z --parallel-max 50 -w '%{http_code}\\n' -o /dev/null https://nginx-h2.example.com:$HTTPS/text.txt?[1-200] \
         | sort | uniq -c",
        &["200 200\n"],
    ),
    row(
        "curl -i -r 5-9 http://nginx.example.com:$HTTP/text.txt",
        &["206 Partial Content", "content-range: bytes 5-9/20000"],
    ),
    row(
        "curl -o /dev/null --etag-save $DIR/etag http://nginx.example.com:$HTTP/text.txt; \
         curl -i --etag-compare $DIR/etag https://nginx.example.com:$HTTPS/text.txt",
        &["HTTP/2 304"],
    ),
    row(
        "curl -D - --compressed https://nginx.example.com:$HTTPS/text.txt | tr -d '\\r' | tee $DIR/answer; \
         sed '1,/^$/d' $DIR/answer | cmp - $DIR/text && echo same",
        &["content-encoding: gzip", "same"],
    ),
    row("curl -i -d x http://nginx.example.com:$HTTP/text.txt", &["405 Not Allowed", "server: nginx"]),
    row("curl -i https://nginx-h2.example.com:$HTTPS/text.txt", &["HTTP/2 200", "x-protocol: HTTP/2.0"]),
    row("curl -i http://nobody.example.com:$HTTP/", &["404 Not Found"]),
    row("curl -i http://echo.example.com:$HTTPS/", &["400 Bad Request", "HTTPS"]),
    // Nobody is trusted who should not be.
    row("curl --cacert /etc/ssl/certs/ca-certificates.crt https://echo.example.com:$HTTPS/ 2>&1 || echo no", &["no\n"]),
    row("curl https://example.org:$HTTPS/ 2>&1 || echo no", &["no alternative certificate subject name", "no\n"]),
];

const S_CLIENT: &str = "openssl s_client -connect 127.0.0.1:$HTTPS -nameopt RFC2253 -CAfile $CA -verify_return_error";

/// `s_client` is a function: `openssl s_client` with the address and the trusted root.
const OPENSSL: &[Row] = &[
    row(
        "s_client -servername echo.example.com -alpn h2,http/1.1 -showcerts </dev/null",
        &[
            "Verify return code: 0 (ok)",
            "TLSv1.3",
            "ALPN protocol: h2",
            " 0 s:CN=certificate",
            " 1 s:CN=Torana test intermediate",
            "i:CN=Torana test root",
        ],
    ),
    row("s_client -servername echo.example.com -alpn http/1.1 </dev/null", &["ALPN protocol: http/1.1"]),
    row("s_client -servername echo.example.com </dev/null", &["No ALPN negotiated", "Verify return code: 0 (ok)"]),
    row("s_client -servername echo.example.com -alpn spdy/3 </dev/null 2>&1 || true", &["no application protocol"]),
    row(
        "s_client -servername echo.example.com -tls1_2 -verify_hostname echo.example.com </dev/null",
        &["TLSv1.2", "ECDHE-ECDSA", "Verification: OK", "Verified peername: *.example.com"],
    ),
    row("s_client -servername echo.example.com -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null 2>&1 || true", &["alert"]),
    row("s_client -servername echo.example.com -groups P-256 </dev/null", &["Server Temp Key: ECDH, prime256v1"]),
    row(
        "printf 'GET /s HTTP/1.1\\r\\nHost: echo.example.com\\r\\nConnection: close\\r\\n\\r\\n' \
         | s_client -servername echo.example.com -quiet -ign_eof",
        &["HTTP/1.1 200 OK", "\"path\": \"/s\""],
    ),
    // A session is resumed, with either version.
    row(
        "ask() { printf 'GET / HTTP/1.1\\r\\nHost: echo.example.com\\r\\nConnection: close\\r\\n\\r\\n' | s_client \
         -servername echo.example.com -ign_eof \"$@\"; }; for version in -tls1_2 -tls1_3; do \
         ask $version -sess_out $DIR/session | grep -E '^(New|Reused),'; \
         ask $version -sess_in $DIR/session | grep -E '^(New|Reused),'; done | cut -d, -f1 | tr '\\n' ' '",
        &["New Reused New Reused "],
    ),
];

/// `--connect-to` finds the hosts.
const H2LOAD: &[Row] = &[
    row(
        "h2load -n 2000 -c 4 -m 20 --connect-to=127.0.0.1:$HTTPS https://echo.example.com:$HTTPS/",
        &["Application protocol: h2\n", "2000 succeeded, 0 failed, 0 errored, 0 timeout", "2000 2xx"],
    ),
    row(
        "h2load -n 1000 -c 4 -m 20 --connect-to=127.0.0.1:$HTTPS https://nginx-h2.example.com:$HTTPS/text.txt",
        &["Application protocol: h2\n", "1000 succeeded, 0 failed, 0 errored, 0 timeout", "1000 2xx"],
    ),
    row(
        "h2load -n 1000 -c 8 --h1 --connect-to=127.0.0.1:$HTTPS https://nginx.example.com:$HTTPS/text.txt",
        &["Application protocol: http/1.1\n", "1000 succeeded, 0 failed, 0 errored, 0 timeout", "1000 2xx"],
    ),
    row(
        "h2load -n 1000 -c 4 -m 20 -d $DIR/text --connect-to=127.0.0.1:$HTTP http://echo-h2.example.com:$HTTP/echo",
        &["Application protocol: h2c\n", "1000 succeeded, 0 failed, 0 errored, 0 timeout", "1000 2xx"],
    ),
    row(
        "h2load -n 1000 -c 8 --h1 --connect-to=127.0.0.1:$HTTP http://echo.example.com:$HTTP/",
        &["Application protocol: http/1.1\n", "1000 succeeded, 0 failed, 0 errored, 0 timeout", "1000 2xx"],
    ),
    row(
        "nghttp -nv -H ':authority: nginx.example.com' https://127.0.0.1:$HTTPS/text.txt -y",
        &["The negotiated protocol: h2", ":status: 200", "END_STREAM", "content-encoding: gzip"],
    ),
    row("nghttp -nv -H ':authority: echo.example.com' -d $DIR/mib http://127.0.0.1:$HTTP/", &[":status: 200"]),
];

fn run(stage: &Stage, folder: &TempDir, command: &str) -> String {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", PATIENCE, "bash", "-uo", "pipefail"])
        .env("HTTP", stage.world.http.to_string())
        .env("HTTPS", stage.world.https.to_string())
        .env("CA", stage.authority.root_file())
        .env("DIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let functions = format!(
        "curl() {{ command curl -sS --max-time 30 --cacert $CA --connect-to ::127.0.0.1: \"$@\"; }}\n\
         s_client() {{ {S_CLIENT} \"$@\"; }}\n"
    );
    child.stdin.take().unwrap().write_all(format!("{functions}{command}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}exit {}\n", text.replace('\r', ""), output.status.code().unwrap_or(-1))
}

/// Runs every row, and gives what is missing of each that failed.
fn failures(rows: &[Row]) -> Vec<String> {
    let stage = Stage::set("");
    let folder = TempDir::new().unwrap();
    let text = "a line of 20 bytes.\n".repeat(1000);
    stage.nginx.serve("text.txt", &text);
    fs::write(folder.path().join("text"), &text).unwrap();
    let mut mib = vec![0; 1 << 20];
    fastrand::Rng::with_seed(1).fill(&mut mib);
    fs::write(folder.path().join("mib"), mib).unwrap();
    let failed = |row: &Row| {
        let output = run(&stage, &folder, row.command);
        let mut missing = row.wants.iter().filter(|wanted| !output.contains(**wanted)).peekable();
        missing.peek()?;
        Some(format!("$ {}\nlacks {:?} in\n{output}", row.command, missing.collect::<Vec<_>>()))
    };
    rows.iter().filter_map(failed).collect()
}

/// A tool that is missing is a failure, not a reason to test less.
fn installed(tool: &str, package: &str) {
    let found = Command::new("which").arg(tool).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(found, "{tool} is not installed: ./dev setup, or the package {package}");
}

#[test]
fn curl_works_in_every_version_of_http() {
    installed("curl", "curl");
    let failed = failures(CURL);
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), CURL.len(), failed.join("\n"));
}

#[test]
fn openssl_sees_the_whole_chain_and_resumes_its_session() {
    installed("openssl", "openssl");
    let failed = failures(OPENSSL);
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), OPENSSL.len(), failed.join("\n"));
}

#[test]
fn h2load_and_nghttp_lose_no_request() {
    installed("h2load", "nghttp2-client");
    let failed = failures(H2LOAD);
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), H2LOAD.len(), failed.join("\n"));
}

#[test]
fn a_row_that_does_not_hold_is_noticed() {
    let rows = [row("curl -i http://echo.example.com:$HTTP/", &["HTTP/1.1 200 OK", "HTTP/2 200"])];
    assert_eq!(failures(&rows).len(), 1);
}
