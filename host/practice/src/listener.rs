//! Owns the ephemeral loopback port and the tasks of its connections. Must not outlive its server: dropping a listener
//! ends every connection it accepted.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::PracticeError;

/// A port on 127.0.0.1 with everything that runs behind it.
#[derive(Debug)]
pub(crate) struct Listener {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Opens a port the system chooses and runs `serve` for each connection.
    pub(crate) async fn start<S>(
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Result<Self, PracticeError>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(PracticeError::Listen)?;
        let addr = listener.local_addr().map_err(PracticeError::Listen)?;
        let accepting = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => { sessions.spawn(serve(stream)); }
                        // Out of descriptors or a connection gone before it was accepted: the next may be fine.
                        Err(_) => tokio::task::yield_now().await,
                    },
                    Some(_) = sessions.join_next() => {}
                }
            }
        });
        Ok(Self { addr, accepting })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
