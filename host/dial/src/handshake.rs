//! TLS over a stream, within a time limit. Must not choose whom to trust.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cause::{self, TlsCause};
use crate::error::Error;
use crate::route::bare;
use crate::text::shown;
use crate::trust::Client;
use crate::verify::Seen;

/// Does the client's half of the handshake. The name is sent (SNI) unless it is an IP literal; the certificate must hold
/// it in its subject alternative names: a common name does not count.
///
/// Reading from the stream fails with [`std::io::ErrorKind::UnexpectedEof`] if the connection ends without TLS saying so
/// (`close_notify`): what came before it may have been cut. With TLS 1.3 a server says only after the handshake that it
/// refuses the client's certificate: see [`Error::after_handshake`].
///
/// # Errors
/// [`Error::Tls`] with its cause.
pub async fn handshake<S>(
    client: &Client,
    host: &str,
    stream: S,
    within: Duration,
) -> Result<TlsStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |cause| Error::Tls { host: shown(host), cause };
    let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| failed(TlsCause::ImpossibleName))?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let connector = TlsConnector::from(client.watched(&seen));
    match timeout(within, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            Err(failed(cause::of(&error, &seen, &client.trust)))
        }
        Err(_) => Err(failed(TlsCause::Silent { after: within })),
    }
}
