//! Pinned keys: which count, and that a valid certificate alone is not enough.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::Warning;

async fn connects(trust: &Trust, identity: &Identity) -> bool {
    let server = serve(identity).await;
    shake(trust, "localhost", server.addr()).await.is_ok()
}

#[tokio::test]
async fn the_servers_key_its_backup_and_its_authority_may_be_pinned() {
    let world = World::new();
    let (now, next) = (world.issue(CertificateKind::Good), world.issue(CertificateKind::Good));
    let authority = crate::peer::Certificate::parse(&world.authority.der()).unwrap().pin;
    let pinned = |pins: &[Pin]| Trust { pins: pins.to_vec(), ..world.trust() };
    assert!(connects(&pinned(&[pin_of(&now)]), &now).await);
    assert!(!connects(&pinned(&[pin_of(&now)]), &next).await);
    let both = pinned(&[pin_of(&now), pin_of(&next)]);
    assert!(connects(&both, &now).await && connects(&both, &next).await);
    assert!(connects(&pinned(&[authority]), &now).await, "the root that verification ended at");
}

#[tokio::test]
async fn a_valid_certificate_without_a_pinned_key_is_refused_and_the_key_shown() {
    let world = World::new();
    let identity = world.issue(CertificateKind::Good);
    let trust = Trust { pins: vec![Pin::of_spki(b"another")], ..world.trust() };
    let refused = refusal(&trust, "localhost", &identity).await;
    assert!(
        matches!(&refused, TlsCause::PinMismatch { seen } if seen[0] == pin_of(&identity)),
        "{refused:?}"
    );
    assert!(refused.to_string().contains(&pin_of(&identity).to_string()), "{refused}");
    assert!(refused.needs_a_person());
}

#[tokio::test]
async fn a_pinned_certificate_merely_sent_along_does_not_count() {
    let world = World::new();
    let pinned = world.issue(CertificateKind::Good);
    // Anybody who has seen the pinned server can send its certificate behind a valid one of his own.
    let attacker = world.issue(CertificateKind::Good).with_extra(&pinned).unwrap();
    let trust = Trust { pins: vec![pin_of(&pinned)], ..world.trust() };
    let refused = refusal(&trust, "localhost", &attacker).await;
    assert!(matches!(refused, TlsCause::PinMismatch { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_pin_does_not_replace_verification() {
    let world = World::new();
    for (kind, host) in [
        (CertificateKind::SelfSigned, "localhost"),
        (CertificateKind::Expired, "localhost"),
        (CertificateKind::OtherHost, "localhost"),
    ] {
        let identity = world.issue(kind);
        let trust = Trust { pins: vec![pin_of(&identity)], ..world.trust() };
        assert!(!matches!(refusal(&trust, host, &identity).await, TlsCause::PinMismatch { .. }), "{kind:?}");
    }
}

#[tokio::test]
async fn an_intermediate_authority_of_the_verified_chain_may_be_pinned() {
    let world = World::new();
    let authority = |params: &mut CertificateParams, name: &str| {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    };
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    authority(&mut params, "root");
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    authority(&mut params, "between");
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &between).unwrap();

    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone(), between.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let ca_file = Some(world.file("root.pem", &root.pem()));
    let pin = |der| crate::peer::Certificate::parse(der).unwrap().pin;
    for (pins, good) in [
        (vec![pin(between.der())], true),
        (vec![pin(root.der())], true),
        (vec![Pin::of_spki(b"another")], false),
    ] {
        let trust = Trust { ca_file: ca_file.clone(), pins, ..Trust::default() };
        let outcome = shake(&trust, "localhost", addr).await;
        if good {
            outcome.unwrap();
        } else {
            let seen = vec![pin(leaf.der()), pin(between.der()), pin(root.der())];
            assert_eq!(cause(outcome), TlsCause::PinMismatch { seen });
        }
    }
}

#[tokio::test]
async fn a_second_connection_is_checked_as_the_first_was() {
    let world = World::new();
    let identity = world.issue(CertificateKind::Good);
    let server = serve(&identity).await;
    let client = world.trust().prepare().unwrap();
    for _ in 0..2 {
        let tcp = TcpStream::connect(server.addr()).await.unwrap();
        let mut stream = handshake(&client, "localhost", tcp, PATIENT).await.unwrap();
        // Tickets come with the first data.
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_single_pin_is_warned_about() {
    let (one, two) = (Pin::of_spki(b"1"), Pin::of_spki(b"2"));
    assert_eq!(Trust::default().warnings(), []);
    assert_eq!(Trust { pins: vec![one], ..Trust::default() }.warnings(), [Warning::SinglePin]);
    assert_eq!(Trust { pins: vec![one, two], ..Trust::default() }.warnings(), []);
}
