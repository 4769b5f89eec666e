// SPDX-License-Identifier: Apache-2.0
//! A WebSocket opened after every edit, and all of them kept: no table stays because a connection came with it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use torana_tests::{Connection, Echo, World, eventually};

use super::{EDIT, EDITED, host};

/// Edits before anything is measured: by then the allocator has what an edit needs.
const WARM: usize = 30;

/// The edit in force, as an answer over this connection says.
fn in_force(connection: &mut Connection) -> usize {
    connection.send(format!("GET / HTTP/1.1\r\nHost: {EDITED}\r\n\r\n").as_bytes()).unwrap();
    connection.reply("GET").unwrap().header(EDIT).and_then(|edit| edit.parse().ok()).unwrap_or(0)
}

/// Every second WebSocket belongs to the route that is edited.
async fn open(port: u16, number: usize, edit: Option<usize>) -> WebSocketStream<TcpStream> {
    let host = if number.is_multiple_of(2) { EDITED.to_owned() } else { host(number) };
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(format!("ws://{host}/"), stream).await.unwrap();
    assert_eq!(response.status(), 101);
    if let Some(edit) = edit.filter(|_| host == EDITED) {
        assert_eq!(response.headers()[EDIT], edit.to_string());
    }
    socket
}

async fn echoes(socket: &mut WebSocketStream<TcpStream>, number: usize) -> bool {
    let sent = Message::text(format!("{number} is alive"));
    socket.send(sent.clone()).await.is_ok() && socket.next().await.is_some_and(|got| got.is_ok_and(|got| got == sent))
}

/// Memory of its own once it stands still. The program's pages are left out: what of them is counted as this process's
/// depends on how many other gateways run at the moment.
async fn settled(world: &World) -> u64 {
    let mut last = world.memory();
    let mut still = 0;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = world.memory();
        still = if now.abs_diff(last) < 64 { still + 1 } else { 0 };
        last = now;
        if still == 4 {
            break;
        }
    }
    last
}

/// Memory in KiB before and after `count` WebSockets were opened, all of them alive at the end; with `edits` after an
/// edit each.
fn opened(count: usize, edits: bool) -> (u64, u64) {
    let (blue, green) = (Echo::start("blue"), Echo::start("green"));
    let world = super::start(blue.port, green.port);
    super::edit(&world, 1);
    let mut connection = Connection::open(world.http).unwrap();
    let mut wait = |edit| {
        assert!(eventually(|| in_force(&mut connection) == edit), "edit {edit} does not come in force");
    };
    wait(1);
    // Whoever edits needs the old table and the new one for a moment; what that took is allocated once.
    for edit in 2..=WARM {
        super::edit(&world, edit);
        wait(edit);
    }
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let before = settled(&world).await;
        let mut sockets = Vec::new();
        for number in 0..count {
            let edit = if edits { WARM + 1 + number } else { WARM };
            if edits {
                super::edit(&world, edit);
                wait(edit);
            }
            sockets.push(open(world.http, number, Some(edit)).await);
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert!(echoes(socket, number).await, "WebSocket {number}");
        }
        (before, settled(&world).await)
    })
}

#[test]
fn websockets_hold_no_old_table() {
    let count = super::size("TORANA_STORM_STREAMS", 200);
    let (quiet_before, quiet) = opened(count, false);
    let streams = quiet.saturating_sub(quiet_before);
    let (before, after) = opened(count, true);
    println!(
        "storm: {count} WebSockets: {before} KiB with one table, {after} KiB after {count} edits; the WebSockets alone \
         take {streams} KiB, {} each",
        streams / count as u64
    );
    let most = before * 11 / 10 + streams;
    assert!(after <= most, "{after} KiB, but one table and a tenth and the WebSockets are {most} KiB");
}
