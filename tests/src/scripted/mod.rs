//! A POP3 server that does what it is told, octet for octet: the other side of every quirk.
//!
//! Owns an honest RFC 1939 server over a small maildrop, rules that override single answers with raw octets, and a log of
//! what each session asked, got and removed. Must not share code with the client under test, and must not judge: what is
//! right is said by the scenarios.

mod answer;
mod log;
mod maildrop;
mod sasl;
mod session;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use answer::{Answer, Rule, Then, on};
pub use log::{End, SessionLog};
pub use maildrop::{Change, Message, Stored, message};
pub use wire::{Certificate, Closing, Cut};

use crate::HarnessError;

/// How the port speaks TLS.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all.
    Plain,
    /// After `STLS`.
    Stls(Certificate),
    /// From the first octet.
    Implicit(Certificate),
}

/// Everything the server is and does, as data.
#[derive(Clone)]
pub struct Script {
    /// TLS or none.
    pub security: Security,
    /// The first line, with its line end.
    pub greeting: Vec<u8>,
    /// Lines of `CAPA` before TLS, under TLS, and after the login; `None` is `-ERR`.
    pub capabilities: [Option<Vec<String>>; 3],
    /// What the maildrop holds at first, in order.
    pub messages: Vec<Message>,
    /// Overrides; the first that fits answers.
    pub rules: Vec<Rule>,
    /// Changes to the maildrop, each made when the session with its number (from 1) connects.
    pub changes: Vec<(u32, Change)>,
    /// Every line end in the clear text of honest answers is a bare LF.
    pub bare_lf: bool,
    /// Removes what is marked even when a session ends without `QUIT`, against RFC 1939.
    pub deletes_on_disconnect: bool,
    /// `QUIT` also removes what was retrieved (RFC 1939 section 8).
    pub hides_retrieved: bool,
    /// Messages that a session shows at most, the oldest first.
    pub shows: usize,
    /// Ends the connection after so many octets.
    pub cut: Option<Cut>,
}

impl Script {
    /// An honest server without TLS that holds these messages.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        let capabilities = ["UIDL", "TOP", "USER", "RESP-CODES"].map(str::to_owned).to_vec();
        Self {
            security: Security::Plain,
            greeting: b"+OK ready\r\n".to_vec(),
            capabilities: [Some(capabilities.clone()), Some(capabilities.clone()), Some(capabilities)],
            messages,
            rules: Vec::new(),
            changes: Vec::new(),
            bare_lf: false,
            deletes_on_disconnect: false,
            hides_retrieved: false,
            shows: usize::MAX,
            cut: None,
        }
    }

    /// With one more override.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// With other capabilities in all three stages.
    #[must_use]
    pub fn capable(mut self, lines: &[&str]) -> Self {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        self.capabilities = [Some(lines.clone()), Some(lines.clone()), Some(lines)];
        self
    }

    /// With another greeting, line end included.
    #[must_use]
    pub fn greeting(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.greeting = octets.into();
        self
    }

    /// With a change to the maildrop when session `number` connects.
    #[must_use]
    pub fn change(mut self, number: u32, change: impl Fn(&mut Vec<Stored>) + Send + Sync + 'static) -> Self {
        self.changes.push((number, Change::new(change)));
        self
    }
}

/// A running server. Dropping it closes its port and every connection.
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the sessions share.
pub(crate) struct Shared {
    pub(crate) script: Script,
    pub(crate) maildrop: Mutex<Vec<Stored>>,
    pub(crate) hits: Mutex<Vec<u32>>,
    pub(crate) log: Mutex<Vec<SessionLog>>,
    open: watch::Sender<usize>,
}

impl Server {
    /// Listens on an ephemeral port of loopback.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when there is no port.
    pub async fn start(script: Script) -> Result<Self, HarnessError> {
        let failed = |source| HarnessError::Io { doing: "listening on loopback", source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let maildrop = script.messages.iter().cloned().map(Stored::new).collect();
        let hits = vec![0; script.rules.len()];
        let shared = Arc::new(Shared {
            script,
            maildrop: Mutex::new(maildrop),
            hits: Mutex::new(hits),
            log: Mutex::default(),
            open: watch::Sender::new(0),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until every session has ended, at most five seconds: a client that keeps a connection is at fault.
    pub async fn settled(&self) -> bool {
        let mut open = self.shared.open.subscribe();
        tokio::time::timeout(Duration::from_secs(5), open.wait_for(|open| *open == 0)).await.is_ok()
    }

    /// The log of every session so far, in the order they connected.
    #[must_use]
    pub fn log(&self) -> Vec<SessionLog> {
        locked(&self.shared.log).clone()
    }

    /// What the maildrop holds now.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        locked(&self.shared.maildrop).iter().map(|stored| stored.message.clone()).collect()
    }

    /// Changes the maildrop between two polls.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Stored>)) {
        change(&mut locked(&self.shared.maildrop));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let index = {
            let mut log = locked(&shared.log);
            log.push(SessionLog::default());
            log.len() - 1
        };
        shared.open.send_modify(|open| *open += 1);
        let shared = Arc::clone(&shared);
        sessions.spawn(async move {
            session::serve(&shared, index, stream).await;
            shared.open.send_modify(|open| *open -= 1);
        });
        while sessions.try_join_next().is_some() {}
    }
}

/// A test that panicked elsewhere leaves the data as it was.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
