//! One connection to the practice proxy, from the methods offered to the end of the relay. Must not outlive its listener.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::{ProxyFault, ProxyStage, ProxyStats, Requested, Shared};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

/// Replies of RFC 1928 section 6.
const DONE: u8 = 0;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.count(|stats| stats.connections += 1);
    // Loss of the client is no trouble of the proxy's.
    let _ = Session { stream, shared: &shared }.run().await;
    shared.count(|stats| stats.closed += 1);
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut ProxyStats)) {
        self.stats.send_modify(change);
    }
}

struct Session<'a> {
    stream: TcpStream,
    shared: &'a Shared,
}

impl Session<'_> {
    async fn run(mut self) -> io::Result<()> {
        if !self.agree_on_method().await? {
            return Ok(());
        }
        let Some(requested) = self.request().await? else { return Ok(()) };
        self.shared.count(|stats| stats.requests.push(requested.clone()));
        if self.misbehave(ProxyStage::Request).await? {
            return Ok(());
        }
        let refusal = self.shared.faults.take(|fault| match fault {
            ProxyFault::Reply(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = refusal {
            return self.reply(code).await;
        }
        let mut server = match self.reach(&requested).await {
            Ok(server) => server,
            Err(code) => return self.reply(code).await,
        };
        self.reply(DONE).await?;
        self.shared.count(|stats| stats.relayed += 1);
        copy_bidirectional(&mut self.stream, &mut server).await.map(drop)
    }

    /// `false` if the session is over.
    async fn agree_on_method(&mut self) -> io::Result<bool> {
        let [version, count] = self.read().await?;
        let mut offered = vec![0; usize::from(count)];
        self.stream.read_exact(&mut offered).await?;
        if version != VERSION || self.misbehave(ProxyStage::Methods).await? {
            return Ok(false);
        }
        let forced = self.shared.faults.take(|fault| match fault {
            ProxyFault::Method(method) => Some(*method),
            _ => None,
        });
        let wanted = if self.shared.config.login.is_some() { USER_PASSWORD } else { NO_LOGIN };
        let method = match forced {
            Some(method) => method,
            None if offered.contains(&wanted) => wanted,
            None => NONE_ACCEPTABLE,
        };
        self.stream.write_all(&[VERSION, method]).await?;
        match method {
            NO_LOGIN => Ok(true),
            USER_PASSWORD => self.log_in().await,
            _ => Ok(false),
        }
    }

    async fn log_in(&mut self) -> io::Result<bool> {
        let [_version] = self.read().await?;
        let given = (self.counted().await?, self.counted().await?);
        if self.misbehave(ProxyStage::Login).await? {
            return Ok(false);
        }
        let expected = self.shared.config.login.as_ref();
        let right = expected.is_some_and(|(user, password)| {
            given == (user.as_bytes().to_vec(), password.as_bytes().to_vec())
        });
        self.shared.count(|stats| *(if right { &mut stats.logins } else { &mut stats.refused_logins }) += 1);
        self.stream.write_all(&[1, u8::from(!right)]).await?;
        Ok(right)
    }

    /// `None` if it was refused.
    async fn request(&mut self) -> io::Result<Option<Requested>> {
        let [version, command, _reserved, kind] = self.read().await?;
        if version != VERSION {
            return Ok(None);
        }
        let requested = match kind {
            1 => {
                let octets: [u8; 4] = self.read().await?;
                Requested::Address(SocketAddr::from((octets, self.port().await?)))
            }
            3 => {
                let name = String::from_utf8_lossy(&self.counted().await?).into_owned();
                Requested::Name(name, self.port().await?)
            }
            4 => {
                let octets: [u8; 16] = self.read().await?;
                Requested::Address(SocketAddr::from((Ipv6Addr::from(octets), self.port().await?)))
            }
            _ => {
                self.reply(ADDRESS_NOT_SUPPORTED).await?;
                return Ok(None);
            }
        };
        if command != 1 {
            self.reply(COMMAND_NOT_SUPPORTED).await?;
            return Ok(None);
        }
        Ok(Some(requested))
    }

    /// The connection, or the reply code that says why there is none.
    async fn reach(&self, requested: &Requested) -> Result<TcpStream, u8> {
        let addr = match requested {
            Requested::Name(name, _) => *self.shared.config.names.get(name).ok_or(HOST_UNREACHABLE)?,
            Requested::Address(addr) => *addr,
        };
        if !addr.ip().is_loopback() {
            return Err(NOT_ALLOWED);
        }
        TcpStream::connect(addr).await.map_err(|_| REFUSED)
    }

    async fn reply(&mut self, code: u8) -> io::Result<()> {
        self.stream.write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
    }

    /// Commits a fault due at this stage; `true` if the session is over.
    async fn misbehave(&mut self, stage: ProxyStage) -> io::Result<bool> {
        let due = self.shared.faults.take(|fault| match fault {
            ProxyFault::Garbage(of, _) | ProxyFault::Drop(of) | ProxyFault::Silent(of) if *of == stage => {
                Some(fault.clone())
            }
            _ => None,
        });
        match due {
            Some(ProxyFault::Garbage(_, octets)) => self.stream.write_all(&octets).await.map(|()| true),
            Some(ProxyFault::Silent(_)) => {
                // Until the client gives up.
                tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map(|_| true)
            }
            Some(ProxyFault::Drop(_) | ProxyFault::Reply(_) | ProxyFault::Method(_)) => Ok(true),
            None => Ok(false),
        }
    }

    async fn port(&mut self) -> io::Result<u16> {
        Ok(u16::from_be_bytes(self.read().await?))
    }

    /// A text after one octet with its length.
    async fn counted(&mut self) -> io::Result<Vec<u8>> {
        let [length] = self.read().await?;
        let mut octets = vec![0; usize::from(length)];
        self.stream.read_exact(&mut octets).await?;
        Ok(octets)
    }

    async fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut octets = [0; N];
        self.stream.read_exact(&mut octets).await?;
        Ok(octets)
    }
}
