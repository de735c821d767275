//! The way to real servers on loopback: certificates good and bad, pins, proxies, addresses.

mod certificates;
mod client_certificates;
mod pins;
mod proxies;
mod routes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use postroom_practice::maildrop::Maildrop;
use postroom_practice::{Authority, CertificateKind, Identity, MaildropConfig, Security};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{Error, Pin, TlsCause, Trust, handshake};

/// Long enough that a busy machine does not reach it, short enough that a hanging test ends.
const PATIENT: Duration = Duration::from_secs(30);

/// A practice authority, its file and a trust in it.
struct World {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (authority, directory) = (Authority::new().unwrap(), tempfile::tempdir().unwrap());
        authority.write_pem(&directory.path().join("ca.pem")).unwrap();
        Self { authority, directory }
    }

    fn issue(&self, kind: CertificateKind) -> Identity {
        self.authority.issue(kind).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust { ca_file: Some(self.directory.path().join("ca.pem")), ..Trust::default() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn serve(identity: &Identity) -> Maildrop {
    Maildrop::start(MaildropConfig::new(Security::Implicit(identity.clone()))).await.unwrap()
}

async fn shake(trust: &Trust, host: &str, addr: SocketAddr) -> Result<TlsStream<TcpStream>, Error> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    handshake(&trust.prepare().unwrap(), host, tcp, PATIENT).await
}

/// Why there is no TLS with a server that shows this.
async fn refusal(trust: &Trust, host: &str, identity: &Identity) -> TlsCause {
    let server = serve(identity).await;
    cause(shake(trust, host, server.addr()).await)
}

fn cause<S: std::fmt::Debug>(outcome: Result<S, Error>) -> TlsCause {
    match outcome {
        Err(Error::Tls { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

async fn greeting(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut octets = vec![0; 3];
    stream.read_exact(&mut octets).await.unwrap();
    octets
}

fn pin_of(identity: &Identity) -> Pin {
    use rustls::pki_types::pem::PemObject;
    let der =
        rustls::pki_types::CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes()).unwrap();
    crate::peer::Certificate::parse(&der).unwrap().pin
}
