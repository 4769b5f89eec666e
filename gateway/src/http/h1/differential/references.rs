// SPDX-License-Identifier: Apache-2.0
//! hyper and Pingora as readers of HTTP/1.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pingora_core::protocols::http::v1::server::HttpSession;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::io::Io;

/// No reader may wait for longer on bytes that have ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as a reader understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// The same request; absolute targets are taken apart differently by each reader.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let rooted = self.target.first() == Some(&b'/');
        self.method == other.method && self.body == other.body && (!rooted || self.target == other.target)
    }
}

pub(super) struct References {
    runtime: Runtime,
    listener: TcpListener,
}

impl References {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        Self { runtime, listener }
    }

    /// Every request that hyper reads whole out of these bytes.
    pub(super) fn hyper(&self, bytes: &[u8]) -> Vec<Seen> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        self.runtime.block_on(async {
            let (client, server) = tokio::io::duplex(1 << 20);
            let (_reader, mut writer) = tokio::io::split(client);
            writer.write_all(bytes).await.unwrap();
            writer.shutdown().await.unwrap();
            let service = service_fn(|request: http::Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (parts, body) = request.into_parts();
                    if let Ok(body) = body.collect().await {
                        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
                        seen.lock().unwrap().push(Seen {
                            method: parts.method.to_string(),
                            target: target.as_bytes().to_vec(),
                            body: body.to_bytes().to_vec(),
                        });
                    }
                    Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
                }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            let connection = builder.half_close(true).serve_connection(TokioIo::new(server), service);
            // An error is a refusal.
            drop(tokio::time::timeout(PATIENCE, connection).await.expect("hyper comes to an end"));
        });
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    /// The first request, if Pingora reads one whole.
    pub(super) fn pingora(&self, bytes: &[u8]) -> Option<Seen> {
        self.runtime.block_on(async {
            let (client, accepted) =
                tokio::join!(TcpStream::connect(self.listener.local_addr().unwrap()), self.listener.accept());
            let mut client = client.unwrap();
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let mut session = HttpSession::new(Box::new(Io::tcp(accepted.unwrap().0)));
            tokio::time::timeout(PATIENCE, async {
                session.read_request().await.ok()??;
                let mut body = Vec::new();
                while let Some(piece) = session.read_body_bytes().await.ok()? {
                    body.extend_from_slice(&piece);
                }
                let head = session.req_header();
                Some(Seen { method: head.method.to_string(), target: head.raw_path().to_vec(), body })
            })
            .await
            .expect("pingora comes to an end")
        })
    }
}
