// SPDX-License-Identifier: Apache-2.0
//! tonic, the gRPC library of Rust, as client of `torana echo` and of a server of its own. Messages are bytes: no
//! code is generated.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use torana_tests::World;

use super::{Stage, stage};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Answers one message that is a number with so many messages.
#[derive(Clone)]
struct Counting;

type Messages = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::ServerStreamingService<Bytes> for Counting {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = std::future::Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let count: Option<u32> = std::str::from_utf8(request.get_ref()).ok().and_then(|text| text.parse().ok());
        std::future::ready(match count {
            Some(count) => {
                let messages = (0..count).map(|number| Ok(Bytes::from(number.to_string())));
                let end = [Err(Status::out_of_range("that was all"))];
                let stream: Messages = Box::pin(tokio_stream::iter(messages.chain(end)));
                Ok(Response::new(stream))
            }
            None => Err(Status::invalid_argument("not a number")),
        })
    }
}

/// A tonic server; its port.
async fn counting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|request| async {
                Ok::<_, Infallible>(tonic::server::Grpc::new(Raw).server_streaming(Counting, request).await)
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

/// A channel to `host`, in cleartext or with TLS.
async fn channel(stage: &Stage, host: &str, tls: bool) -> Grpc<Channel> {
    let (scheme, port) = if tls { ("https", stage.world.https) } else { ("http", stage.world.http) };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://127.0.0.1:{port}"))
        .unwrap()
        .origin(format!("{scheme}://{host}").parse().unwrap())
        .timeout(Duration::from_secs(20));
    if tls {
        let root = Certificate::from_pem(stage.authority.root_pem());
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(root).domain_name(host)).unwrap();
    }
    Grpc::new(endpoint.connect().await.unwrap())
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

async fn unary(client: &mut Grpc<Channel>, method: &'static str, request: Request<Bytes>) -> Result<Bytes, Status> {
    client.ready().await.unwrap();
    client.unary(request, path(method), Raw).await.map(Response::into_inner)
}

/// All messages, and how the stream ended.
async fn collect(mut stream: Streaming<Bytes>) -> (Vec<Bytes>, Code) {
    let mut messages = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, Code::Ok),
            Err(status) => return (messages, status.code()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_client_works_in_every_shape_of_call() {
    let stage = stage().await;
    for tls in [false, true] {
        let mut client = channel(&stage, "echo-h2.example.com", tls).await;
        let large = Bytes::from(vec![7; 3 << 20]);
        let answer = unary(&mut client, "/any.Service/Unary", Request::new(large.clone())).await.unwrap();
        assert_eq!(answer, large, "unary");
        let answer = unary(&mut client, "/grpc.health.v1.Health/Check", Request::new(Bytes::new())).await.unwrap();
        assert_eq!(&answer[..], [8, 1], "the health check says SERVING");
        let mut request = Request::new(Bytes::new());
        request.metadata_mut().insert("x-grpc-status", "14".parse().unwrap());
        let status = unary(&mut client, "/any.Service/Fails", request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "asked for by x-grpc-status"));

        client.ready().await.unwrap();
        let messages: Vec<Bytes> = (0..500).map(|number| Bytes::from(number.to_string())).collect();
        let request = Request::new(tokio_stream::iter(messages.clone()));
        let answer = client.streaming(request, path("/any.Service/Streams"), Raw).await.unwrap();
        assert_eq!(collect(answer.into_inner()).await, (messages, Code::Ok));
        ping_pong(&mut client).await;
    }
}

/// A message is sent only after the one before it has come back.
async fn ping_pong(client: &mut Grpc<Channel>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(Bytes::from_static(b"0")).await.unwrap();
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut answer = client.streaming(request, path("/any.Service/PingPong"), Raw).await.unwrap().into_inner();
    for number in 0..200u32 {
        assert_eq!(answer.message().await.unwrap().unwrap(), number.to_string());
        sender.send(Bytes::from((number + 1).to_string())).await.unwrap();
    }
    drop(sender);
    assert_eq!(answer.message().await.unwrap().unwrap(), "200");
    assert!(answer.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_server_streams_and_its_last_word_arrives() {
    let port = counting().await;
    let manifests = World::service_speaking("kubernetes.io/h2c", "counting", port)
        + &World::route("counting", "counting.example.com", "counting");
    let stage = tokio::task::spawn_blocking(move || Stage::set(&manifests)).await.unwrap();
    for tls in [false, true] {
        let mut client = channel(&stage, "counting.example.com", tls).await;
        client.ready().await.unwrap();
        let request = Request::new(Bytes::from_static(b"1000"));
        let answer = client.server_streaming(request, path("/count.Count/To"), Raw).await.unwrap();
        let (messages, code) = collect(answer.into_inner()).await;
        assert_eq!((messages.len(), code), (1000, Code::OutOfRange));
        assert_eq!(messages[999], "999");
        let status = unary(&mut client, "/count.Count/To", Request::new(Bytes::from_static(b"x"))).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "not a number"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toranas_own_failures_are_statuses_for_a_tonic_client() {
    let stage = stage().await;
    for tls in [false, true] {
        let mut client = channel(&stage, "nobody.example.com", tls).await;
        let status = unary(&mut client, "/any.Service/Unary", Request::new(Bytes::new())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    }
}
