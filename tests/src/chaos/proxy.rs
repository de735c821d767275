//! A TCP proxy on loopback that passes octets on, and breaks connections when it is told to.
//!
//! Owns its port and the connections through it. Must not look into what it carries, nor choose a fault itself.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::HarnessError;

/// Which way octets go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What happens to the next connection on which octets go this way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// It ends both ways after so many more octets; the last of them are delivered.
    After(Way, u64),
    /// Octets of this way wait for so long.
    Stall(Way, Duration),
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub(super) struct ChaosProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    /// How long each piece takes on its way, as on a line that is not the machine's own.
    delay: Duration,
    healed: AtomicBool,
    due: Mutex<VecDeque<Cut>>,
    carried_out: AtomicU64,
}

impl ChaosProxy {
    /// Opens a port in front of a server.
    pub(super) async fn start(target: SocketAddr, delay: Duration) -> Result<Self, HarnessError> {
        let failed = |source| HarnessError::Io { doing: "listening on 127.0.0.1", source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            target,
            delay,
            healed: AtomicBool::new(false),
            due: Mutex::default(),
            carried_out: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Breaks one more connection.
    pub(super) fn cut(&self, cut: Cut) {
        self.shared.due().push_back(cut);
    }

    /// Breaks nothing any more, and is as fast as it can.
    pub(super) fn heal(&self) {
        self.shared.healed.store(true, Ordering::Relaxed);
        self.shared.due().clear();
    }

    /// How many connections were broken so far.
    pub(super) fn broken(&self) -> u64 {
        self.shared.carried_out.load(Ordering::Relaxed)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn due(&self) -> std::sync::MutexGuard<'_, VecDeque<Cut>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next fault if it is one of this way.
    fn take(&self, way: Way) -> Option<Cut> {
        let mut due = self.due();
        let at =
            due.iter().position(|cut| matches!(cut, Cut::After(of, _) | Cut::Stall(of, _) if *of == way))?;
        self.carried_out.fetch_add(1, Ordering::Relaxed);
        due.remove(at)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => { connections.spawn(carry(client, Arc::clone(&shared))); }
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection. When the server cannot be reached the client's is closed.
async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((client_reads, client_writes), (server_reads, server_writes)) =
        (client.into_split(), server.into_split());
    // An error on one way ends the other, too; an end in good order does not.
    let _ = tokio::try_join!(
        pass(client_reads, server_writes, Way::Up, &shared),
        pass(server_reads, client_writes, Way::Down, &shared),
    );
}

/// Passes octets on until they end. An error when the connection broke or is to break.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = None;
    loop {
        let octets = match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            read => &buffer[..read],
        };
        if left.is_none() {
            match shared.take(way) {
                Some(Cut::After(_, octets)) => left = Some(octets),
                Some(Cut::Stall(_, pause)) => tokio::time::sleep(pause).await,
                None => {}
            }
        }
        if !shared.delay.is_zero() && !shared.healed.load(Ordering::Relaxed) {
            tokio::time::sleep(shared.delay).await;
        }
        match &mut left {
            None => to.write_all(octets).await?,
            Some(left) => {
                let passed = octets.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                to.write_all(&octets[..passed]).await?;
                *left -= passed as u64;
                if passed < octets.len() {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each connection with what it sent, doubled.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut got = Vec::new();
                let _ = stream.read_to_end(&mut got).await;
                let _ = stream.write_all(&got.repeat(2)).await;
            }
        });
        addr
    }

    async fn through(proxy: &ChaosProxy) -> Vec<u8> {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        let _ = stream.write_all(b"abc").await;
        let _ = stream.shutdown().await;
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got).await;
        got
    }

    #[tokio::test]
    async fn octets_pass_and_a_cut_ends_both_ways_after_so_many() {
        let proxy = ChaosProxy::start(echo().await, Duration::ZERO).await.unwrap();
        assert_eq!(through(&proxy).await, b"abcabc");
        for (cut, got) in [
            (Cut::After(Way::Down, 4), b"abca".as_slice()),
            (Cut::After(Way::Up, 1), b""),
            (Cut::Stall(Way::Down, Duration::from_millis(1)), b"abcabc"),
        ] {
            proxy.cut(cut);
            assert_eq!(through(&proxy).await, got, "{cut:?}");
        }
        assert_eq!(proxy.broken(), 3);
        proxy.cut(Cut::After(Way::Down, 0));
        proxy.heal();
        assert_eq!(through(&proxy).await, b"abcabc");
    }
}
