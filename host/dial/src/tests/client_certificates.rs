//! Servers that want to know who the client is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{ClientIdentity, TrustFile};

fn shown(world: &World, name: &str, identity: &Identity) -> ClientIdentity {
    ClientIdentity {
        certificate: world.file(&format!("{name}.pem"), identity.certificate_pem()),
        key: world.file(&format!("{name}.key"), identity.key_pem()),
    }
}

/// The greeting, or why there is none; with TLS 1.3 that comes after the handshake.
async fn talk(trust: &Trust, addr: SocketAddr) -> Result<[u8; 3], Error> {
    let mut stream = shake(trust, "localhost", addr).await?;
    let mut read = [0; 3];
    // The refusal may overtake or follow this.
    let _ = stream.write_all(b"NOOP\r\n").await;
    match stream.read_exact(&mut read).await {
        Ok(_) => Ok(read),
        Err(error) => Err(Error::after_handshake("localhost", &error).unwrap_or_else(|| panic!("{error}"))),
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_required_and_refused() {
    let world = World::new();
    let server = world.issue(CertificateKind::Good).for_clients_of(&world.authority).unwrap();
    let server = serve(&server).await;
    let known = shown(&world, "known", &world.issue(CertificateKind::Client));
    let with = |identity| Trust { identity, ..world.trust() };
    assert_eq!(&talk(&with(Some(known)), server.addr()).await.unwrap(), b"+OK");
    let absent = cause(talk(&with(None), server.addr()).await);
    assert_eq!(absent, TlsCause::ClientCertificateRequired);
    let stranger = Authority::new().unwrap().issue(CertificateKind::Client).unwrap();
    let stranger = shown(&world, "stranger", &stranger);
    let refused = cause(talk(&with(Some(stranger)), server.addr()).await);
    assert!(matches!(refused, TlsCause::ClientCertificateRefused { .. }), "{refused:?}");
    assert!(refused.needs_a_person());
}

#[test]
fn bad_client_files_are_named_with_the_setting() {
    let world = World::new();
    let (one, other) = (world.issue(CertificateKind::Client), world.issue(CertificateKind::Client));
    let good = shown(&world, "one", &one);
    let file_of =
        |identity: ClientIdentity| match (Trust { identity: Some(identity), ..world.trust() }).prepare() {
            Err(Error::File { file, .. }) => Some(file),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        };
    assert_eq!(file_of(good.clone()), None);
    let key_of_another = world.file("other.key", other.key_pem());
    for (broken, file) in [
        (ClientIdentity { key: key_of_another, ..good.clone() }, TrustFile::ClientKey),
        (ClientIdentity { key: good.certificate.clone(), ..good.clone() }, TrustFile::ClientKey),
        (ClientIdentity { certificate: good.key.clone(), ..good.clone() }, TrustFile::ClientCertificate),
        (ClientIdentity { certificate: "missing.pem".into(), ..good.clone() }, TrustFile::ClientCertificate),
    ] {
        assert_eq!(file_of(broken), Some(file));
    }
}

#[test]
fn keys_are_read_in_all_three_forms() {
    let world = World::new();
    for (name, (certificate, key)) in [("sec1", SEC1), ("pkcs1", PKCS1), ("pkcs8", PKCS8)] {
        let identity = ClientIdentity {
            certificate: world.file(&format!("{name}.pem"), certificate),
            key: world.file(&format!("{name}.key"), key),
        };
        let outcome = Trust { identity: Some(identity), ..world.trust() }.prepare();
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

/// Certificates and keys made once for this test and used nowhere.
const SEC1: (&str, &str) = (include_str!("files/ec.pem"), include_str!("files/ec-sec1.key"));
const PKCS1: (&str, &str) = (include_str!("files/rsa.pem"), include_str!("files/rsa-pkcs1.key"));
const PKCS8: (&str, &str) = (include_str!("files/rsa.pem"), include_str!("files/rsa-pkcs8.key"));
