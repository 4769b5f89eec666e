// SPDX-License-Identifier: Apache-2.0
use tokio::net::TcpListener;

use super::super::tsig::Algorithm;
use super::*;

fn solver(server: String, tsig: Option<Tsig>) -> Rfc2136 {
    Rfc2136 { server, zone: Some("example.com".to_owned()), tsig, ttl: 60 }
}

fn record() -> Record {
    Record { name: "_acme-challenge.example.com".to_owned(), value: "v".to_owned() }
}

/// What comes of an update whose answer is what `answer` makes of the request.
async fn answered(tsig: Option<Tsig>, answer: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static) -> Result<(), DnsError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&answer(request)).await.unwrap();
    };
    let solver = solver(server, tsig);
    let record = record();
    tokio::join!(solver.perform(Action::Present, &record), serve).0
}

/// With its length.
fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), &*bytes].concat()
}

fn reply(request: &[u8], code: ResponseCode) -> Vec<u8> {
    let request = Message::from_vec(request).unwrap();
    framed(&Message::error_msg(request.id, request.op_code, code))
}

fn tsig() -> Tsig {
    let (key_name, secret) = ("k.example".to_owned(), b"secret".to_vec());
    Tsig { key_name, algorithm: Algorithm::HmacSha256, secret }
}

#[test]
fn a_server_may_be_written_without_its_port() {
    for (server, expected) in [
        ("ns.example", "ns.example:53"),
        ("ns.example:5353", "ns.example:5353"),
        ("192.0.2.1", "192.0.2.1:53"),
        ("192.0.2.1:5353", "192.0.2.1:5353"),
        ("2001:db8::1", "[2001:db8::1]:53"),
        ("[2001:db8::1]", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
    ] {
        assert_eq!(with_port(server), expected);
    }
}

#[tokio::test]
async fn nobody_there_is_said() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = solver(free.clone(), None).perform(Action::Present, &record()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{free} does not answer: ")) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_signature_is_taken_only_where_there_is_no_key() {
    let fine = |request: Vec<u8>| reply(&request, ResponseCode::NoError);
    assert_eq!(answered(None, fine).await, Ok(()));
    let error = answered(Some(tsig()), fine).await.unwrap_err().to_string();
    assert!(error.contains("cannot be trusted: it is not signed; is key k.example"), "{error}");
}

#[tokio::test]
async fn a_refusal_without_a_signature_is_a_refusal() {
    let error = answered(Some(tsig()), |request| reply(&request, ResponseCode::Refused)).await.unwrap_err().to_string();
    assert!(error.contains("REFUSED; let key k.example update"), "{error}");
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error_and_nothing_else() {
    let other = answered(None, |request| reply(&[&[!request[0]], &request[1..]].concat(), ResponseCode::NoError)).await;
    assert!(matches!(other, Err(DnsError::Senseless { .. })), "{other:?}");
    let noise = answered(None, |_| b"\x00\x04HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    assert!(matches!(noise, Err(DnsError::Senseless { .. })), "{noise:?}");
    let short = answered(None, |_| b"\xff\xffshort".to_vec()).await;
    assert!(matches!(short, Err(DnsError::Unreachable { .. })), "{short:?}");
    let nothing = answered(None, |_| Vec::new()).await;
    assert!(matches!(nothing, Err(DnsError::Unreachable { .. })), "{nothing:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let limit = Duration::from_millis(50);
    let error = solver(server, None).run(Action::Present, &record(), limit).await.unwrap_err().to_string();
    assert!(error.contains("not done within 50ms"), "{error}");
}
