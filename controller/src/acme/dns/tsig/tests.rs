// SPDX-License-Identifier: Apache-2.0
use super::super::{Action, message};
use super::*;

const SECRET: &[u8] = b"a secret of 32 octets, no more..";
const SIGNED: u64 = 1_700_000_000;
const ANSWERED: u64 = SIGNED + 3;

/// An update with id 0x1234, its MAC, and the signed answer to it, as dnspython 2.9 makes them with the key below.
const VECTORS: [(Algorithm, &str, &str); 3] = [
    (
        Algorithm::HmacSha256,
        "2a4b3485ba18e8991a682dcfce024dbe34729f871fe07e6e80beb119d950093b",
        "1234a8000001000000000001076578616d706c6503636f6d00000600010841636d652d4b6579076578616d706c650000fa00ff0000000000\
         3d0b686d61632d7368613235360000006553f103012c0020d2d43c4390b1ea830d252610a83d4572d786ef3b41fcf7e73cfab5873d7fa569\
         123400000000",
    ),
    (
        Algorithm::HmacSha384,
        "23538a0cc7d5cc024ac8d9a52a7ded0c6a4dc75bbeff9402a1abb5a742cf43473e8bf4e361fc6a0adcea72b8da7fcc09",
        "1234a8000001000000000001076578616d706c6503636f6d00000600010841636d652d4b6579076578616d706c650000fa00ff0000000000\
         4d0b686d61632d7368613338340000006553f103012c0030050c2fb087e078d6117bd4c499dff0769dd4bffb2fd910ccfaa8d921c5f69bc3\
         1257278643ef877eba13322a641577d9123400000000",
    ),
    (
        Algorithm::HmacSha512,
        "25ca0fc57832a2a3bfa6dd8f405bccb63b7372519fdce2dd1d798a6380b7fb523448c0fab9ea71edb8516cf3d355129f8f44484b84d74104\
         aa95e33402caf2f2",
        "1234a8000001000000000001076578616d706c6503636f6d00000600010841636d652d4b6579076578616d706c650000fa00ff0000000000\
         5d0b686d61632d7368613531320000006553f103012c004012ffda4c0a3d0511b7719f18dc52997614e82a280e674c78a9b6eb770f5a990d\
         73d66c665430c8c7b5a7a803ccdefc74570d87e55350f3e05e90401c0532a717123400000000",
    ),
];

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn tsig(algorithm: Algorithm) -> Tsig {
    Tsig { key_name: "Acme-Key.example".to_owned(), algorithm, secret: SECRET.to_vec() }
}

fn key(algorithm: Algorithm) -> Key {
    Key::new(&tsig(algorithm)).unwrap()
}

fn update() -> Message {
    let (zone, name) = (name::parse("example.com").unwrap(), name::parse("_acme-challenge.example.com").unwrap());
    let mut update = message::update(&zone, &name, "gfj9Xq-_Rg85nM", Action::Present, 60);
    update.metadata.id = 0x1234;
    update
}

/// The key, the MAC of the request, and its answer.
fn answered() -> (Key, Vec<u8>, Vec<u8>) {
    let (algorithm, mac, answer) = VECTORS[0];
    (key(algorithm), octets(mac), octets(answer))
}

/// An answer as a server signs it, with whatever `change` does to it before.
fn signed(change: impl FnOnce(&mut Message, &mut TSIG)) -> (Key, Vec<u8>, Vec<u8>) {
    let (key, mac, answer) = answered();
    let mut answer = Message::from_vec(&answer).unwrap();
    let Some(RData::TSIG(mut tsig)) = answer.additionals.pop().map(|record| record.data) else { panic!("no TSIG") };
    change(&mut answer, &mut tsig);
    tsig.mac.clear();
    let covered = covered(&answer.to_vec().unwrap(), &tsig, &key.name, &mac).unwrap();
    tsig.mac = hmac::sign(&key.hmac, &covered).as_ref().to_vec();
    let mut record = Record::from_rdata(key.name.clone(), 0, tsig);
    record.dns_class = DNSClass::ANY;
    answer.signature = Some(Box::new(record));
    (key, mac, answer.to_vec().unwrap())
}

#[test]
fn a_request_is_signed_as_others_sign_it() {
    for (algorithm, mac, _) in VECTORS {
        let mut update = update();
        assert_eq!(key(algorithm).sign(&mut update, SIGNED).unwrap(), octets(mac), "{algorithm:?}");
        // The signature is the last of its records, and not covered by itself.
        let bytes = update.to_vec().unwrap();
        let (plain, record) = apart(&bytes).unwrap();
        update.signature = None;
        assert_eq!(plain, update.to_vec().unwrap());
        assert!(matches!(record.data, RData::TSIG(tsig) if tsig.fudge == 300 && tsig.time == SIGNED));
    }
}

#[test]
fn an_answer_that_others_have_signed_is_good() {
    for (algorithm, mac, answer) in VECTORS {
        assert_eq!(key(algorithm).check(&octets(answer), &octets(mac), ANSWERED), Ok(()), "{algorithm:?}");
    }
}

#[test]
fn an_answer_whose_id_was_changed_on_its_way_is_good() {
    let (key, mac, mut answer) = answered();
    answer[0] ^= 0xff;
    assert_eq!(key.check(&answer, &mac, ANSWERED), Ok(()));
}

#[test]
fn an_answer_to_another_request_is_not_trusted() {
    let (key, mut mac, answer) = answered();
    mac[0] ^= 1;
    assert_eq!(key.check(&answer, &mac, ANSWERED), Err(Doubt::Unsigned("its signature is wrong")));
    assert_eq!(key.check(&answer, &[], ANSWERED), Err(Doubt::Unsigned("its signature is wrong")));
}

#[test]
fn no_octet_of_an_answer_can_be_changed() {
    let (key, mac, answer) = answered();
    // The id, the first two, is not covered: the signature has its own.
    for at in 2..answer.len() {
        let mut changed = answer.clone();
        changed[at] ^= 1;
        assert!(key.check(&changed, &mac, ANSWERED).is_err(), "octet {at}");
    }
    for end in 0..answer.len() {
        assert!(key.check(&answer[..end], &mac, ANSWERED).is_err(), "cut at {end}");
    }
    let longer = [&answer[..], b"x"].concat();
    assert!(key.check(&longer, &mac, ANSWERED).is_err());
}

#[test]
fn an_answer_without_a_signature_is_not_trusted() {
    let (key, mac, answer) = answered();
    let (plain, _) = apart(&answer).unwrap();
    assert_eq!(key.check(&plain, &mac, ANSWERED), Err(Doubt::Unsigned("it is not signed")));
    assert_eq!(key.check(&[], &mac, ANSWERED), Err(Doubt::Unsigned("it is not signed")));
}

#[test]
fn another_key_is_not_taken_for_ours() {
    let (_, mac, answer) = answered();
    let another = |change: fn(&mut Tsig)| {
        let mut tsig = tsig(Algorithm::HmacSha256);
        change(&mut tsig);
        Key::new(&tsig).unwrap().check(&answer, &mac, ANSWERED)
    };
    let other_key = Err(Doubt::Unsigned("it is signed with another key"));
    assert_eq!(another(|tsig| tsig.key_name = "other.example".to_owned()), other_key);
    assert_eq!(another(|tsig| tsig.algorithm = Algorithm::HmacSha512), other_key);
    assert_eq!(another(|tsig| tsig.secret[0] ^= 1), Err(Doubt::Unsigned("its signature is wrong")));
}

#[test]
fn a_truncated_mac_is_not_taken() {
    let (key, mac, answer) = answered();
    let mut cut = Message::from_vec(&answer).unwrap();
    let Some(RData::TSIG(tsig)) = cut.additionals.first_mut().map(|record| &mut record.data) else { panic!() };
    tsig.mac.truncate(16);
    assert_eq!(key.check(&cut.to_vec().unwrap(), &mac, ANSWERED), Err(Doubt::Unsigned("its signature is wrong")));
}

#[test]
fn clocks_may_be_apart_by_the_fudge_and_no_more() {
    let (key, mac, answer) = answered();
    let fudge = u64::from(FUDGE);
    for now in [ANSWERED - fudge, ANSWERED + fudge] {
        assert_eq!(key.check(&answer, &mac, now), Ok(()));
    }
    assert_eq!(key.check(&answer, &mac, ANSWERED - fudge - 1), Err(Doubt::Clock(fudge + 1)));
    assert_eq!(key.check(&answer, &mac, ANSWERED + fudge + 1), Err(Doubt::Clock(fudge + 1)));
}

#[test]
fn a_server_tells_its_time_if_ours_is_wrong() {
    let (key, mac, answer) = signed(|_, tsig| {
        tsig.error = Some(TsigError::BadTime);
        tsig.time = SIGNED;
        tsig.other = (SIGNED + 1000).to_be_bytes()[2..].to_vec();
    });
    assert_eq!(key.check(&answer, &mac, SIGNED), Err(Doubt::Clock(1000)));
}

#[test]
fn what_a_server_does_not_take_it_says_without_a_signature() {
    for (error, said) in
        [(TsigError::BadKey, "BADKEY"), (TsigError::BadSig, "BADSIG"), (TsigError::BadTrunc, "BADTRUNC")]
    {
        let (key, _, answer) = signed(|_, tsig| tsig.error = Some(error));
        assert_eq!(key.check(&answer, b"another", ANSWERED), Err(Doubt::Refused(said)));
    }
}

#[test]
fn the_signature_is_one_and_the_last() {
    let (key, mac, answer) = answered();
    let mut message = Message::from_vec(&answer).unwrap();
    let signature = message.additionals[0].clone();
    message.additionals.push(signature);
    assert_eq!(key.check(&message.to_vec().unwrap(), &mac, ANSWERED), Err(Doubt::Unsigned("it is not signed")));
}

#[test]
fn a_secret_is_neither_empty_nor_shown() {
    let empty = Tsig { secret: Vec::new(), ..tsig(Algorithm::HmacSha256) };
    assert!(Key::new(&empty).is_err_and(|error| error.to_string().ends_with("Acme-Key.example is empty")));
    let secret = format!("{:?}", tsig(Algorithm::HmacSha256));
    assert_eq!(secret, "Tsig { key_name: \"Acme-Key.example\", algorithm: HmacSha256, .. }");
}
