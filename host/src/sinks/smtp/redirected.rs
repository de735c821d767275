//! What a redirected message keeps: its signature. And what it gets: a sender whose bounces find back.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_mail::{Action, Digest, HeaderField};
use postroom_practice::{Receiver, ReceiverConfig, Security};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::super::Sink;
use super::super::testing::{build, deliver, secret, send, try_build};

fn config(port: u16, more: &str) -> String {
    format!(
        "type = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ninsecure_plaintext = \"I accept\"\n{more}"
    )
}

async fn receiver() -> Receiver {
    Receiver::start(ReceiverConfig::new(Security::Plain)).await.unwrap()
}

/// RFC 6376 section 3.4.3: the body with one CRLF at its end.
fn simple_body(body: &str) -> String {
    format!("{}\r\n", body.trim_end_matches("\r\n"))
}

/// The value of a field, the topmost or the last one, with its continuation lines; with its name, as `simple` signs it.
fn field<'a>(header: &'a str, name: &str) -> &'a str {
    let start = header.find(&format!("\r\n{name}:")).map_or(0, |at| at + 2);
    assert!(header[start..].starts_with(name), "{name} is not in {header}");
    let mut end = start;
    for line in header[start..].split_inclusive("\r\n") {
        if end > start && !line.starts_with([' ', '\t']) {
            break;
        }
        end += line.len();
    }
    &header[start..end]
}

const SIGNED: [&str; 3] = ["From", "Subject", "Date"];

/// What is signed with `c=simple/simple`: every octet counts, white space and case too.
fn to_be_signed(header: &str, unsigned: &str) -> [u8; 32] {
    let fields: String = SIGNED.iter().map(|name| field(header, name)).collect();
    Digest::of(format!("{fields}{}", unsigned.trim_end_matches("\r\n")).as_bytes()).0
}

fn body_hash(body: &str) -> String {
    BASE64_STANDARD.encode(Digest::of(simple_body(body).as_bytes()).0)
}

/// Signs with Ed25519 (RFC 8463).
fn sign(header: &str, body: &str, key: &Ed25519KeyPair) -> String {
    let unsigned = format!(
        "DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=shop.example; s=a;\r\n\
         \th=From:Subject:Date; bh={};\r\n\tb=",
        body_hash(body)
    );
    let signature = BASE64_STANDARD.encode(key.sign(&to_be_signed(header, &unsigned)));
    format!("{unsigned}{signature}\r\n{header}\r\n{body}")
}

fn verify(octets: &[u8], key: &Ed25519KeyPair) -> Result<(), &'static str> {
    let text = std::str::from_utf8(octets).map_err(|_| "not UTF-8")?;
    let (header, body) = text.split_once("\r\n\r\n").ok_or("no body")?;
    let header = format!("{header}\r\n");
    let (unsigned, signature) = field(&header, "DKIM-Signature").rsplit_once("b=").ok_or("no b=")?;
    if !unsigned.contains(&format!("bh={};", body_hash(body))) {
        return Err("the body was changed");
    }
    let signature = BASE64_STANDARD.decode(signature.trim()).map_err(|_| "no base64")?;
    let signed = to_be_signed(&header, &format!("{unsigned}b="));
    let public = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref());
    public.verify(&signed, &signature).map_err(|_| "the header was changed")
}

#[tokio::test]
async fn a_signed_message_still_verifies_after_it_was_redirected() {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let header = "Message-ID: <m@shop.example>\r\nFrom:  Eve   <eve@shop.example>\r\nSubject: a\r\n\tfolded  one \r\n\
                  Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nX-Odd :kept\r\n";
    let long = "x".repeat(1500);
    let body = format!(".\r\n..\r\n. dots\r\nspace at the end \r\n{long}\r\n\r\nFrom here\r\n\r\n\r\n");
    let signed = sign(header, &body, &key);
    let raw = format!("Return-Path: <eve@shop.example>\r\nBcc: hidden@x.example\r\n{signed}");
    assert_eq!(verify(signed.as_bytes(), &key), Ok(()));
    assert_eq!(
        verify(signed.replace("folded  one", "folded one").as_bytes(), &key),
        Err("the header was changed")
    );
    assert_eq!(verify(signed.replace("end \r\n", "end\r\n").as_bytes(), &key), Err("the body was changed"));

    let server = receiver().await;
    let sink = build(std::path::Path::new("."), &config(server.addr().port(), ""));
    let mut effect = send(None, &["b@b.example"], raw.as_bytes());
    if let Action::Send { add_headers, .. } = &mut effect.action {
        for (name, value) in [("X-Postroom-Forwarded", "id; route=1"), ("Resent-From", "me@home.example")] {
            add_headers.push(HeaderField::new(name, value).unwrap());
        }
    }
    deliver(&sink, &effect, raw.as_bytes(), 1).await.unwrap();
    let arrived = server.accepted().remove(0).octets;
    assert!(
        arrived.starts_with(b"X-Postroom-Forwarded: id; route=1\r\nResent-From: me@home.example\r\nDKIM-")
    );
    assert_eq!(verify(&arrived, &key), Ok(()));
}

/// RFC 6376 section 3.4.2, of a field with its name.
fn relaxed(field: &str) -> String {
    let (name, value) = field.split_once(':').unwrap();
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    format!("{}:{}", name.trim().to_ascii_lowercase(), words.join(" "))
}

/// The example of RFC 8463 appendix A, which somebody else signed; with line ends of LF, as some maildrops have them.
#[tokio::test]
async fn the_signature_of_rfc_8463_verifies_after_a_redirect() {
    const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let raw = "Received: by mx.example\nDKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\n \
               d=football.example.com; i=@football.example.com;\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\n \
               subject : date : message-id : from : subject : date;\n \
               bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
               b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\n \
               Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\n\
               From: Joe SixPack <joe@football.example.com>\nTo: Suzie Q <suzie@shopping.example.net>\n\
               Subject: Is dinner ready?\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\n\
               Message-ID: <20030712040037.46341.5F8J@football.example.com>\n\n\
               Hi.\n\nWe lost the game.  Are you hungry yet?\n\nJoe.\n";
    let server = receiver().await;
    let sink = build(std::path::Path::new("."), &config(server.addr().port(), ""));
    deliver(&sink, &send(None, &["b@b.example"], raw.as_bytes()), raw.as_bytes(), 1).await.unwrap();
    let arrived = String::from_utf8(server.accepted().remove(0).octets).unwrap();
    let (header, body) = arrived.split_once("\r\n\r\n").unwrap();
    let header = format!("{header}\r\n");

    let hash = Digest::of(body.replace("  ", " ").as_bytes()).0;
    assert_eq!(BASE64_STANDARD.encode(hash), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    let signed = ["From", "To", "Subject", "Date", "Message-ID"].map(|name| relaxed(field(&header, name)));
    let (unsigned, signature) = field(&header, "DKIM-Signature").rsplit_once("b=").unwrap();
    let digest = Digest::of(format!("{}\r\n{} b=", signed.join("\r\n"), relaxed(unsigned)).as_bytes());
    let signature: String = signature.split_ascii_whitespace().collect();
    let public = UnparsedPublicKey::new(&ED25519, BASE64_STANDARD.decode(KEY).unwrap());
    public.verify(&digest.0, &BASE64_STANDARD.decode(signature).unwrap()).unwrap();
}

const SRS: &str =
    "from = \"own@own.example\"\nsrs = { domain = \"fwd.example\", secret = { file = \"srs\" } }";

async fn sender_of(sink: &Sink, server: &Receiver, from: Option<&str>, raw: &str) -> String {
    deliver(sink, &send(from, &["b@b.example"], raw.as_bytes()), raw.as_bytes(), 1).await.unwrap();
    server.accepted().pop().unwrap().from
}

#[tokio::test]
async fn bounces_of_redirected_mail_find_back_by_srs_and_null_stays_null() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "srs", "a secret of sixteen");
    let server = receiver().await;
    let sink = build(base.path(), &config(server.addr().port(), SRS));
    let mail = |path: &str| format!("Return-Path: {path}\r\nMessage-ID: <m@shop.example>\r\n\r\nbody\r\n");
    for (path, expected) in [
        ("<Eve@shop.example>", "SRS0=HIwN=JH=shop.example=Eve@fwd.example"),
        ("<>", ""),
        ("nonsense", "own@own.example"),
    ] {
        assert_eq!(sender_of(&sink, &server, None, &mail(path)).await, expected, "{path}");
        assert_eq!(sender_of(&sink, &server, None, &mail(path)).await, expected, "at every attempt");
    }
    let named = sender_of(&sink, &server, Some("p@p.example"), &mail("<Eve@shop.example>")).await;
    assert_eq!(named, "p@p.example", "who names a sender means it");
    assert_eq!(sender_of(&sink, &server, None, "Message-ID: <m@x.example>\r\n\r\n").await, "own@own.example");

    let plain = build(base.path(), &config(server.addr().port(), "from = \"own@own.example\""));
    assert_eq!(sender_of(&plain, &server, None, &mail("<Eve@shop.example>")).await, "own@own.example");
}

#[tokio::test]
async fn a_message_that_was_made_here_keeps_the_senders_own_path() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "srs", "a secret of sixteen");
    let server = receiver().await;
    let sink = build(base.path(), &config(server.addr().port(), SRS));
    let raw = b"Return-Path: <Eve@shop.example>\r\nMessage-ID: <m@shop.example>\r\n\r\nbody\r\n";
    let mut effect = send(None, &["b@b.example"], raw);
    // As a wrapping message: some octets of its own, then the original.
    effect
        .content
        .pieces
        .insert(0, postroom_mail::Piece::Made(b"Message-ID: <w@own.example>\r\n\r\n".to_vec()));
    let whole = [&b"Message-ID: <w@own.example>\r\n\r\n"[..], raw].concat();
    (effect.digest, effect.size) = (Digest::of(&whole), whole.len() as u64);
    deliver(&sink, &effect, raw, 1).await.unwrap();
    assert_eq!(server.accepted()[0].from, "own@own.example");
}

#[test]
fn senseless_limits_and_srs_are_refused_when_the_sink_is_made() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "srs", "short");
    for (more, expected) in [
        ("per_minute = 0", "`per_minute` must be from 1"),
        ("per_day = 0", "`per_day` must be from 1"),
        ("srs = { domain = \"fwd.example\", secret = { file = \"srs\" } }", "at least 16 octets"),
        (
            "srs = { domain = \"fwd.example\", secret = { file = \"none\" } }",
            "cannot read the secret of `srs`",
        ),
    ] {
        let error = try_build(base.path(), &config(25, more)).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("short"), "{error}");
    }
}
