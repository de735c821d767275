//! Greeting, CAPA and STLS: what happens before a login.
//!
//! Owns the rule that what came before TLS is forgotten (RFC 2595 section 4). Must not perform TLS:
//! it says when the handshake is due and believes whoever reports it done.

use std::marker::PhantomData;

use super::exchange::{ListReply, Machine, Progress, StatusLine};
use super::{Answer, Authorization, Channel, Core, Exchange, Greeting, Session};
use crate::capability::Capabilities;
use crate::command::{Command, Verb};
use crate::error::{Error, Rejection, ServerMisbehaved, Unsupported, shown};
use crate::wire::Cap;

const CAPA_CAP: Cap = Cap { lines: 256, octets: 64 * 1024, name: "CAPA reply in lines or octets" };

impl Session<Greeting> {
    /// Awaits the greeting.
    pub fn greeting(self) -> Exchange<Greet> {
        Exchange::unprompted(self, Greet(StatusLine::default()))
    }
}

impl Session<Authorization> {
    /// Asks for TLS. Refused without asking when CAPA was read and does not list it: a session that
    /// wants TLS ends here, it never goes on in clear text.
    pub fn stls(self) -> Result<Exchange<Stls>, Error> {
        if self.core.channel == Channel::Tls {
            return Err(Unsupported::StlsInsideTls.into());
        }
        if self.capabilities().is_some_and(|capabilities| !capabilities.stls) {
            return Err(Unsupported::Stls.into());
        }
        Ok(Exchange::new(self, &Command::Stls, Stls(StatusLine::default())))
    }
}

impl<S> Session<S> {
    /// Asks what the server can do, and replaces what was known. A refusal is no error: servers
    /// before RFC 2449 do not know the command.
    pub fn capa(self) -> Exchange<Capa<S>> {
        let reply = Capa { list: ListReply::new(), found: Capabilities::default(), state: PhantomData };
        Exchange::new(self, &Command::Capa, reply)
    }
}

/// The reply to the connection.
#[derive(Debug)]
pub struct Greet(StatusLine);

/// The greeting's outcome: a session, or the reason the server gave for refusing the connection.
pub type Hello = Result<Session<Authorization>, Rejection>;

impl Machine for Greet {
    type State = Greeting;
    type Output = Hello;
    type Value = Result<Vec<u8>, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Connect
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        Ok(match self.0.read_plain(Verb::Connect, core, input)? {
            None => Progress::Receive,
            Some(outcome) => Progress::Done(outcome),
        })
    }

    fn finish(mut session: Session<Greeting>, value: Self::Value) -> Hello {
        let text = value?;
        session.core.banner = shown(&text);
        session.core.timestamp = timestamp(&text);
        Ok(session.into_state())
    }
}

/// The first valid msg-id in a banner. A challenge that is no msg-id may have been chosen to attack
/// MD5, so it counts as none.
fn timestamp(banner: &[u8]) -> Option<Vec<u8>> {
    let mut rest = banner;
    while let Some(start) = memchr::memchr(b'<', rest) {
        rest = &rest[start + 1..];
        let Some(end) = memchr::memchr(b'>', rest) else { break };
        let id = &rest[..end];
        let printable = id.iter().all(|&octet| octet.is_ascii_graphic() && octet != b'<');
        let mut sides = id.split(|&octet| octet == b'@');
        let shape = (sides.next(), sides.next(), sides.next());
        if let (Some([_, ..]), Some([_, ..]), None) = shape
            && printable
        {
            return Some([b"<", id, b">"].concat());
        }
    }
    None
}

/// The reply to `CAPA`.
#[derive(Debug)]
pub struct Capa<S> {
    list: ListReply,
    found: Capabilities,
    state: PhantomData<fn() -> S>,
}

impl<S> Machine for Capa<S> {
    type State = S;
    type Output = Answer<S, Capabilities>;
    type Value = Result<Capabilities, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Capa
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let Self { list, found, .. } = self;
        let outcome = list.read(Verb::Capa, CAPA_CAP, core, input, |line| found.read_line(line))?;
        Ok(match outcome {
            None => Progress::Receive,
            Some(Ok(())) => Progress::Done(Ok(std::mem::take(found))),
            Some(Err(rejection)) => Progress::Done(Err(rejection)),
        })
    }

    fn finish(mut session: Session<S>, value: Self::Value) -> Self::Output {
        session.core.capabilities = value.as_ref().ok().cloned();
        (session, value)
    }
}

/// The reply to `STLS`.
#[derive(Debug)]
pub struct Stls(StatusLine);

/// What `STLS` led to.
#[derive(Debug)]
pub enum StlsAnswer {
    /// Perform the TLS handshake now.
    Proceed(TlsReady),
    /// The server refused. The channel is what it was before.
    Refused(Session<Authorization>, Rejection),
}

/// A session between the `+OK` to `STLS` and the end of the handshake. Nothing can be said in it.
#[derive(Debug)]
#[must_use = "perform the handshake, then call `secured`"]
pub struct TlsReady(Session<Authorization>);

impl TlsReady {
    /// The handshake is done and the certificate verified. Everything learnt before it is forgotten:
    /// capabilities, banner, APOP timestamp, framing.
    pub fn secured(self) -> Session<Authorization> {
        let mut session = self.0;
        *session.core = Core::new(Channel::Tls);
        session
    }
}

impl Machine for Stls {
    type State = Authorization;
    type Output = StlsAnswer;
    type Value = Result<Vec<u8>, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Stls
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let outcome = self.0.read_plain(Verb::Stls, core, input)?;
        if matches!(outcome, Some(Ok(_))) && !input.is_empty() {
            return Err(ServerMisbehaved::PlaintextAfterStls.into());
        }
        Ok(match outcome {
            None => Progress::Receive,
            Some(outcome) => Progress::Done(outcome),
        })
    }

    fn finish(session: Session<Authorization>, value: Self::Value) -> StlsAnswer {
        match value {
            Ok(_) => StlsAnswer::Proceed(TlsReady(session)),
            Err(rejection) => StlsAnswer::Refused(session, rejection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apop_timestamp_is_taken_only_as_a_valid_msg_id() {
        let of = |banner: &str| timestamp(banner.as_bytes());
        let taken = Some(b"<1896.697@pop.example>".to_vec());
        assert_eq!(of("ready <1896.697@pop.example>"), taken);
        assert_eq!(of("<junk> x <1896.697@pop.example> y"), taken);
        for banner in ["", "ready", "<>", "<@>", "<a@>", "<@b>", "<a@b@c>", "<a b@c>", "<a@b", "a@b>"] {
            assert_eq!(of(banner), None, "{banner}");
        }
        assert_eq!(timestamp(b"<a\xff@b>"), None);
    }
}
