//! Owns the connections of sinks that speak a mail protocol: the same octets over TCP, a socket of this machine, or TLS.
//! Must not know what is spoken, or wait for more than the system does.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Sends octets and waits until they have left.
    pub(super) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Self::Unix(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Reads what there is; 0 is the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Unix(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// `TLSv1_3` or the like; `None` in the clear.
    pub(super) fn protection(&self) -> Option<String> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(stream) => {
                let version = stream.get_ref().1.protocol_version();
                Some(version.map_or("TLS".to_owned(), |version| format!("{version:?}")))
            }
        }
    }

    /// The own address of the connection, where it has one.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().0.local_addr().ok(),
        }
    }
}
