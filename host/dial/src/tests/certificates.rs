//! Which servers are believed, and what is said about the others.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{Peer, TrustFile, Version};

/// A listener for one connection, and what `serve` does with it.
async fn once<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    addr
}

#[tokio::test]
async fn a_good_server_is_believed_by_name_and_by_address_and_says_who_it_is() {
    let world = World::new();
    let identity = world.issue(CertificateKind::Good);
    let server = serve(&identity).await;
    for host in ["localhost", "127.0.0.1", "::1", "[::1]"] {
        let stream = shake(&world.trust(), host, server.addr()).await.unwrap();
        assert_eq!(greeting(stream).await, b"+OK", "{host}");
    }
    let peer = Peer::of(&shake(&world.trust(), "localhost", server.addr()).await.unwrap());
    assert_eq!(peer.version, "TLS 1.3");
    assert!(peer.cipher.starts_with("TLS13_"), "{}", peer.cipher);
    let shown = &peer.certificates[0];
    assert_eq!(
        (shown.subject.as_str(), shown.issuer.as_str()),
        ("CN=localhost", "CN=Postroom practice authority")
    );
    assert_eq!(shown.names, ["localhost", "127.0.0.1", "::1"]);
    // 2020-01-01 and 2099-01-01.
    assert_eq!((shown.not_before, shown.not_after), (1_577_836_800, 4_070_908_800));
    assert_eq!((shown.key.as_str(), shown.pin), ("EC 256", pin_of(&identity)));
    let day = Duration::from_secs(86_400);
    assert!(!peer.expires_within(4_070_908_800 - 86_401, day));
    assert!(peer.expires_within(4_070_908_800 - 86_400, day));
    assert!(peer.expires_within(i64::MAX, day));
}

#[tokio::test]
async fn certificates_out_of_date_are_refused_with_their_dates() {
    let world = World::new();
    let expired = refusal(&world.trust(), "localhost", &world.issue(CertificateKind::Expired)).await;
    assert_eq!(expired, TlsCause::Expired { ended: Some(978_307_200) });
    assert!(expired.to_string().contains("expired on 2001-01-01"), "{expired}");
    let early = refusal(&world.trust(), "localhost", &world.issue(CertificateKind::NotYetValid)).await;
    assert!(matches!(early, TlsCause::NotYetValid { .. }), "{early:?}");
    assert!(early.to_string().contains("only from 2090-01-01"), "{early}");
}

#[tokio::test]
async fn a_certificate_for_others_is_refused_with_the_names_it_is_for() {
    let world = World::new();
    let other = refusal(&world.trust(), "localhost", &world.issue(CertificateKind::OtherHost)).await;
    assert!(
        matches!(&other, TlsCause::WrongName { names, .. } if names == &["elsewhere.example"]),
        "{other:?}"
    );
    assert!(other.to_string().contains("it is for elsewhere.example"), "{other}");
    assert!(other.needs_a_person());
}

#[tokio::test]
async fn a_common_name_does_not_count_and_is_said_not_to() {
    let world = World::new();
    let bare = refusal(&world.trust(), "localhost", &world.issue(CertificateKind::CommonNameOnly)).await;
    assert!(matches!(&bare, TlsCause::WrongName { names, .. } if names.is_empty()), "{bare:?}");
    assert!(bare.to_string().contains("common name (CN=localhost) does not count"), "{bare}");
}

#[tokio::test]
async fn strangers_and_the_self_signed_are_told_apart() {
    let world = World::new();
    let stranger = Authority::new().unwrap().issue(CertificateKind::Good).unwrap();
    let unknown = refusal(&world.trust(), "localhost", &stranger).await;
    assert_eq!(unknown, TlsCause::UnknownAuthority { issuer: "CN=Postroom practice authority".into() });
    let own = world.issue(CertificateKind::SelfSigned);
    assert_eq!(refusal(&world.trust(), "localhost", &own).await, TlsCause::SelfSigned { pin: pin_of(&own) });
    // Without `ca_file` the practice authority is nobody.
    let good = refusal(&Trust::default(), "localhost", &world.issue(CertificateKind::Good)).await;
    assert!(matches!(good, TlsCause::UnknownAuthority { .. }), "{good:?}");
}

#[tokio::test]
async fn a_self_signed_server_is_believed_once_its_certificate_is_the_ca_file() {
    let world = World::new();
    let own = world.issue(CertificateKind::SelfSigned);
    let trust = Trust { ca_file: Some(world.file("own.pem", own.certificate_pem())), ..Trust::default() };
    let server = serve(&own).await;
    assert_eq!(greeting(shake(&trust, "localhost", server.addr()).await.unwrap()).await, b"+OK");
}

#[tokio::test]
async fn an_authority_that_serves_with_its_own_certificate_is_told_how_to_make_a_better_one() {
    let world = World::new();
    let own = world.issue(CertificateKind::SelfSignedAuthority);
    let trust = Trust { ca_file: Some(world.file("own.pem", own.certificate_pem())), ..Trust::default() };
    let marked = refusal(&trust, "localhost", &own).await;
    assert_eq!(marked, TlsCause::MarkedAsAuthority);
    assert!(marked.hint("localhost").contains("CA:FALSE"));
}

#[tokio::test]
async fn the_minimum_version_holds() {
    let world = World::new();
    let old = world.issue(CertificateKind::Good).tls12_only().unwrap();
    let server = serve(&old).await;
    let stream = shake(&world.trust(), "localhost", server.addr()).await.unwrap();
    assert_eq!(Peer::of(&stream).version, "TLS 1.2");
    let strict = Trust { minimum: Version::Tls13, ..world.trust() };
    assert_eq!(refusal(&strict, "localhost", &old).await, TlsCause::TooOld { minimum: Version::Tls13 });
    let good = serve(&world.issue(CertificateKind::Good)).await;
    assert_eq!(Peer::of(&shake(&strict, "localhost", good.addr()).await.unwrap()).version, "TLS 1.3");
}

#[tokio::test]
async fn a_server_of_tls_1_1_is_too_old() {
    // A ServerHello of TLS 1.1 as far as its version: record header, handshake header, version, random, no session id,
    // TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let addr = once(async move |mut stream| {
        stream.write_all(&hello).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let old = cause(shake(&Trust::default(), "localhost", addr).await);
    assert_eq!(old, TlsCause::TooOld { minimum: Version::Tls12 });
}

#[tokio::test]
async fn a_plain_text_server_is_recognised_and_starttls_suggested() {
    for greeting in
        [&b"+OK ready\r\n"[..], b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    {
        let addr = once(async move |mut stream| {
            stream.write_all(greeting).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let error = shake(&Trust::default(), "localhost", addr).await.unwrap_err();
        assert!(error.hint().contains("STARTTLS"), "{error}");
        assert!(error.needs_a_person());
        assert_eq!(cause::<()>(Err(error)), TlsCause::PlainText);
    }
}

#[tokio::test]
async fn a_silent_and_a_closing_server_are_told_apart() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let tcp = TcpStream::connect(silent.local_addr().unwrap()).await.unwrap();
    let within = Duration::from_millis(20);
    let outcome = handshake(&Trust::default().prepare().unwrap(), "localhost", tcp, within).await;
    assert_eq!(cause(outcome), TlsCause::Silent { after: within });
    let closing = once(async |mut stream| {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let error = shake(&Trust::default(), "localhost", closing).await.unwrap_err();
    assert!(!error.needs_a_person());
    assert_eq!(cause::<()>(Err(error)), TlsCause::Closed);
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_error_and_one_with_it_is_not() {
    let world = World::new();
    for honest in [false, true] {
        let acceptor = TlsAcceptor::from(Arc::clone(&world.issue(CertificateKind::Good).server()));
        let addr = once(async move |stream| {
            let mut tls = acceptor.accept(stream).await.unwrap();
            tls.write_all(b"half a mess").await.unwrap();
            tls.flush().await.unwrap();
            if honest {
                tls.shutdown().await.unwrap();
            } else {
                tls.get_mut().0.shutdown().await.unwrap();
            }
        })
        .await;
        let mut stream = shake(&world.trust(), "localhost", addr).await.unwrap();
        let mut read = Vec::new();
        let outcome = stream.read_to_end(&mut read).await;
        assert_eq!(read, b"half a mess");
        match outcome {
            Ok(_) => assert!(honest),
            Err(error) => assert_eq!((honest, error.kind()), (false, std::io::ErrorKind::UnexpectedEof)),
        }
    }
}

#[tokio::test]
async fn a_host_that_cannot_stand_in_a_certificate_is_refused_before_anything_is_sent() {
    let client = Trust::default().prepare().unwrap();
    for host in ["", "bücher.example", "a b", "x\u{202e}y"] {
        let outcome = handshake(&client, host, tokio::io::empty(), PATIENT).await;
        let error = outcome.unwrap_err();
        assert!(!error.to_string().contains('\u{202e}'));
        assert_eq!(cause::<()>(Err(error)), TlsCause::ImpossibleName, "{host}");
    }
}

#[test]
fn a_bad_ca_file_is_named_with_the_reason() {
    let world = World::new();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for path in [
        world.directory.path().join("missing.pem"),
        world.file("empty.pem", ""),
        world.file("bad.pem", garbage),
    ] {
        let error = Trust { ca_file: Some(path.clone()), ..Trust::default() }.prepare().unwrap_err();
        assert!(
            matches!(&error, Error::File { file: TrustFile::CaFile, path: named, .. } if *named == path),
            "{error}"
        );
        assert!(error.needs_a_person() && crate::client(Some(&path)).is_err());
    }
}

#[test]
fn texts_in_a_certificate_cannot_act_on_a_terminal() {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a\x1b[2J\u{202e}b\nc");
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let subject = crate::peer::Certificate::parse(certificate.der()).unwrap().subject;
    assert!(subject.contains("a\\u{1b}[2J\\u{202e}b"), "{subject}");
    assert!(!subject.chars().any(char::is_control));
}
