// SPDX-License-Identifier: Apache-2.0
//! A proxy, and a controller, of which every word is said by the test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxFuture;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use torana_controller::feed::{Ca, tls};
use torana_ir::wire::{self, Ack, Hello, Known, Upsert, Upward, Word};

use super::{Controller, NAME, PATIENCE, now};

/// A proxy.
pub(super) struct Puppet {
    words: mpsc::Sender<Upward>,
    deltas: Streaming<wire::Delta>,
}

/// All chunks of a generation.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) upserts: Vec<Upsert>,
    pub(super) removals: Vec<String>,
    pub(super) chunks: usize,
}

impl Whole {
    pub(super) fn known(&self) -> Vec<Known> {
        self.upserts.iter().map(|it| Known { key: it.key.clone(), hash: it.hash.clone() }).collect()
    }
}

async fn channel(controller: &Controller) -> Channel {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&controller.ca)).domain_name(NAME);
    let endpoint = Endpoint::from_shared(format!("https://{}", controller.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

impl Puppet {
    /// Opens a stream with `token`, and says nothing.
    pub(super) async fn open(controller: &Controller, token: &str) -> Result<Self, Status> {
        let (words, said) = mpsc::channel(16);
        let mut grpc = tonic::client::Grpc::new(channel(controller).await).max_decoding_message_size(16 << 20);
        grpc.ready().await.unwrap();
        let mut request = Request::new(ReceiverStream::new(said));
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        let codec = ProstCodec::<Upward, wire::Delta>::default();
        let path = http::uri::PathAndQuery::from_static(wire::PATH);
        let deltas = grpc.streaming(request, path, codec).await?.into_inner();
        Ok(Self { words, deltas })
    }

    /// The pod `name` of the account `edge`, that has `known`.
    pub(super) async fn hello(controller: &Controller, name: &str, known: Vec<Known>) -> Self {
        let puppet = Self::open(controller, &format!("Bearer {name}@edge")).await.unwrap();
        puppet.say(Word::Hello(Hello { known, complete: true, ..Hello::default() })).await;
        puppet
    }

    pub(super) async fn say(&self, word: Word) {
        // Who is cut off says it in vain.
        self.words.send(Upward { word: Some(word) }).await.ok();
    }

    pub(super) async fn ack(&self, generation: u64) {
        self.say(Word::Ack(Ack { generation, rejected: vec![] })).await;
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<wire::Delta>, Status> {
        timeout(PATIENCE, self.deltas.message()).await.expect("a message")
    }

    /// The next generation.
    pub(super) async fn next(&mut self) -> Whole {
        let mut whole = Whole::default();
        loop {
            let chunk = self.chunk().await.unwrap().expect("a chunk");
            (whole.epoch, whole.generation) = (chunk.epoch, chunk.generation);
            whole.upserts.extend(chunk.upserts);
            whole.removals.extend(chunk.removals);
            whole.chunks += 1;
            if chunk.complete {
                return whole;
            }
        }
    }

    /// Reads to the end of the stream.
    pub(super) async fn end(mut self) -> Option<Status> {
        loop {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(why) => return Some(why),
            }
        }
    }
}

/// A controller for one proxy.
pub(super) struct Script {
    pub(super) address: SocketAddr,
    pub(super) ca: String,
    said: Arc<Mutex<mpsc::Receiver<Word>>>,
    chunks: mpsc::Sender<Result<wire::Delta, Status>>,
}

type Chunks = ReceiverStream<Result<wire::Delta, Status>>;

type Queue = mpsc::Receiver<Result<wire::Delta, Status>>;

/// What a stream is connected to.
#[derive(Clone)]
struct Strings {
    words: mpsc::Sender<Word>,
    chunks: Arc<Mutex<Option<Queue>>>,
}

impl tonic::server::StreamingService<Upward> for Strings {
    type Response = wire::Delta;
    type ResponseStream = Chunks;
    type Future = BoxFuture<Response<Chunks>, Status>;

    fn call(&mut self, request: Request<Streaming<Upward>>) -> Self::Future {
        let strings = self.clone();
        Box::pin(async move {
            let chunks = strings.chunks.lock().await.take().ok_or_else(|| Status::unavailable("one stream only"))?;
            let mut heard = request.into_inner();
            tokio::spawn(async move {
                while let Ok(Some(upward)) = heard.message().await {
                    strings.words.send(upward.word.expect("a word")).await.ok();
                }
            });
            Ok(Response::new(ReceiverStream::new(chunks)))
        })
    }
}

impl Script {
    pub(super) async fn start() -> Self {
        let ca = Ca::new(now()).unwrap();
        let tls = TlsAcceptor::from(tls(&ca.serving_certificate(&[NAME.to_owned()], now()).unwrap()).unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (words, said) = mpsc::channel(64);
        let (chunks, queue) = mpsc::channel(64);
        let strings = Strings { words, chunks: Arc::new(Mutex::new(Some(queue))) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, strings) = (tls.clone(), strings.clone());
                tokio::spawn(async move {
                    let Ok(io) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let strings = strings.clone();
                        async move {
                            let codec = ProstCodec::<wire::Delta, Upward>::default();
                            Ok::<_, Infallible>(tonic::server::Grpc::new(codec).streaming(strings, request).await)
                        }
                    });
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await.ok();
                });
            }
        });
        Self { address, ca: ca.bundle(), said: Arc::new(Mutex::new(said)), chunks }
    }

    pub(super) async fn send(&self, chunk: wire::Delta) {
        self.chunks.send(Ok(chunk)).await.unwrap();
    }

    pub(super) async fn heard(&self) -> Word {
        timeout(PATIENCE, async { self.said.lock().await.recv().await }).await.expect("a word").expect("a stream")
    }

    /// All the proxy has, by the hashes it tells.
    pub(super) async fn hello(&self) -> BTreeMap<String, Vec<u8>> {
        let mut known = BTreeMap::new();
        loop {
            let Word::Hello(hello) = self.heard().await else { panic!("a Hello comes first") };
            known.extend(hello.known.into_iter().map(|it| (it.key, it.hash.to_vec())));
            if hello.complete {
                return known;
            }
        }
    }

    pub(super) async fn ack(&self) -> Ack {
        match self.heard().await {
            Word::Ack(ack) => ack,
            other => panic!("not an ack: {other:?}"),
        }
    }
}
