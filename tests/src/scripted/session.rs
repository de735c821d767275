//! One session: what an honest server says, bent by the first rule that fits.

use std::collections::BTreeSet;

use tokio::net::TcpStream;

use super::answer::{Answer, Then};
use super::log::End;
use super::maildrop::Stored;
use super::wire::{Closing, Ended, Wire};
use super::{Security, Shared, locked, sasl};

/// What an honest answer brings about once it was given.
enum Effect {
    None,
    Tls,
    Login,
    Challenge(Vec<&'static [u8]>),
    Retrieved(u64),
    Marked(u64),
    Unmarked,
    Quit,
}

struct Session<'s> {
    shared: &'s Shared,
    index: usize,
    wire: Wire,
    /// What this session sees, in order; empty before the login.
    seen: Option<Vec<Stored>>,
    marked: BTreeSet<u64>,
    retrieved: BTreeSet<u64>,
    /// Lines of a SASL exchange that are still to be asked for.
    challenges: Option<Vec<&'static [u8]>>,
    held: Vec<u8>,
}

/// Serves one connection to its end and logs it.
pub(super) async fn serve(shared: &Shared, index: usize, stream: TcpStream) {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    for (session, change) in &shared.script.changes {
        if *session == number {
            change.make(&mut locked(&shared.maildrop));
        }
    }
    let cut = shared.script.cut.filter(|cut| cut.session == number).map(|cut| (cut.octets, cut.closing));
    let mut session = Session {
        shared,
        index,
        wire: Wire::new(stream, cut),
        seen: None,
        marked: BTreeSet::new(),
        retrieved: BTreeSet::new(),
        challenges: None,
        held: Vec::new(),
    };
    let end = match session.run().await {
        Ok(end) | Err(end) => end,
    };
    if shared.script.deletes_on_disconnect && end != End::Quit {
        session.remove(usize::MAX);
    }
    session.logged(|log| {
        log.end = end;
        log.ended = Some(std::time::Instant::now());
    });
}

impl Session<'_> {
    async fn run(&mut self) -> Result<End, End> {
        let script = &self.shared.script;
        if let Security::Implicit(certificate) = &script.security {
            self.handshake(certificate).await?;
        }
        let greeting = script.greeting.clone();
        if self.answer("GREETING", b"", None, greeting, Effect::None).await? {
            return Ok(End::Quit);
        }
        loop {
            let Some(line) = self.wire.line().await else { return Ok(End::Dropped) };
            self.logged(|log| log.lines.push(line.clone()));
            let (verb, number, honest, effect) = self.honest(&line);
            if self.answer(&verb, &line, number, honest, effect).await? {
                self.wire.close(Closing::Orderly).await;
                return Ok(End::Quit);
            }
        }
    }

    async fn handshake(&mut self, certificate: &super::Certificate) -> Result<(), End> {
        if let Some(answer) = self.rule("TLS", None) {
            // A rule speaks in place of TLS.
            let (octets, _) = answer.octets(Vec::new(), b"");
            self.send(&octets).await?;
            return Err(self.end(answer.then).await.unwrap_or(End::Closed));
        }
        let name = self.wire.secured(certificate).await.map_err(|_| End::NoTls)?;
        self.logged(|log| {
            log.tls = true;
            log.server_name = name;
        });
        Ok(())
    }

    /// Says what the rules make of an honest answer; `true` when the session ends with it.
    async fn answer(
        &mut self,
        verb: &str,
        line: &[u8],
        number: Option<u32>,
        honest: Vec<u8>,
        effect: Effect,
    ) -> Result<bool, End> {
        let answer = self.rule(verb, number).unwrap_or_else(Answer::honest);
        let (octets, has_effect) = answer.octets(honest, line);
        let octets = if self.shared.script.bare_lf { without_cr(&octets) } else { octets };
        if matches!(effect, Effect::Quit) && has_effect {
            // Before the answer: whoever has the answer may count on it.
            self.remove(answer.removes);
        }
        if answer.then == Then::Hold {
            self.held.extend_from_slice(&octets);
        } else {
            let octets = [std::mem::take(&mut self.held), octets].concat();
            self.pieces(&octets, &answer).await?;
        }
        if let Some(end) = self.end(answer.then).await {
            return Err(end);
        }
        if verb == "SASL" && !has_effect {
            self.challenges = None;
        }
        if !has_effect {
            return Ok(false);
        }
        match effect {
            Effect::None => {}
            Effect::Tls => {
                if let Security::Stls(certificate) = &self.shared.script.security {
                    self.handshake(certificate).await?;
                }
            }
            Effect::Login => {
                self.challenges = None;
                let mut seen = locked(&self.shared.maildrop).clone();
                seen.truncate(self.shared.script.shows);
                self.seen = Some(seen);
            }
            Effect::Challenge(rest) => self.challenges = Some(rest),
            Effect::Retrieved(key) => {
                self.retrieved.insert(key);
            }
            Effect::Marked(key) => {
                self.marked.insert(key);
            }
            Effect::Unmarked => self.marked.clear(),
            Effect::Quit => return Ok(true),
        }
        Ok(false)
    }

    async fn pieces(&mut self, octets: &[u8], answer: &Answer) -> Result<(), End> {
        let piece = answer.piece.unwrap_or(octets.len()).max(1);
        let mut clock = answer.pace.map(tokio::time::interval);
        for piece in octets.chunks(piece) {
            if let Some(clock) = &mut clock {
                clock.tick().await;
            }
            self.send(piece).await?;
        }
        if let Some((again, most)) = &answer.endless {
            let whole = again.repeat((65_536 / again.len().max(1)).max(1));
            let piece = if answer.pace.is_some() { again } else { &whole };
            let mut sent = 0;
            while sent < *most {
                if let Some(clock) = &mut clock {
                    clock.tick().await;
                }
                self.send(piece).await?;
                sent += piece.len() as u64;
            }
        }
        Ok(())
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), End> {
        let written = self.wire.write(octets).await;
        let sent = self.wire.sent;
        self.logged(|log| log.sent = sent);
        match written {
            Ok(()) => Ok(()),
            Err(Ended::Gone) => Err(End::Dropped),
            Err(Ended::Cut(closing)) => {
                self.wire.close(closing).await;
                Err(End::Closed)
            }
        }
    }

    /// Ends the session as a script wants it, if it does.
    async fn end(&mut self, then: Then) -> Option<End> {
        let closing = match then {
            Then::Continue | Then::Hold => return None,
            Then::Silent => {
                self.wire.gone().await;
                return Some(End::Dropped);
            }
            Then::Close => Closing::Orderly,
            Then::Truncate => Closing::Truncated,
            Then::Reset => Closing::Reset,
        };
        self.wire.close(closing).await;
        Some(End::Closed)
    }

    /// The first rule that fits and is not used up.
    fn rule(&self, verb: &str, number: Option<u32>) -> Option<Answer> {
        let session = u32::try_from(self.index + 1).ok();
        let mut hits = locked(&self.shared.hits);
        for (rule, hits) in self.shared.script.rules.iter().zip(hits.iter_mut()) {
            let fits = rule.verb == verb
                && (rule.session.is_none() || rule.session == session)
                && (rule.number.is_none() || rule.number == number);
            if !fits {
                continue;
            }
            *hits += 1;
            if *hits > rule.skip && *hits - rule.skip <= rule.times {
                return Some(rule.answer.clone());
            }
        }
        None
    }

    /// The verb of a line, the number in it, what an honest server says, and what that brings about.
    fn honest(&mut self, line: &[u8]) -> (String, Option<u32>, Vec<u8>, Effect) {
        if let Some(rest) = &mut self.challenges {
            let (octets, effect) = match rest.split_first() {
                Some((next, rest)) => (next.to_vec(), Effect::Challenge(rest.to_vec())),
                None => (ok("logged in"), Effect::Login),
            };
            return ("SASL".to_owned(), None, octets, effect);
        }
        let text = String::from_utf8_lossy(line).into_owned();
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or("").to_ascii_uppercase();
        let first = words.next().map(str::to_owned);
        let number = first.as_deref().and_then(|word| word.parse().ok());
        let (octets, effect) = match self.seen.clone() {
            None => self.before_login(&verb, first.as_deref(), words.next().is_some()),
            Some(seen) => self.logged_in(&verb, number, &seen),
        };
        (verb, number, octets, effect)
    }

    fn before_login(&self, verb: &str, first: Option<&str>, more: bool) -> (Vec<u8>, Effect) {
        match (verb, first) {
            ("CAPA", _) => (self.capabilities(usize::from(self.wire.secure())), Effect::None),
            ("STLS", _) => match &self.shared.script.security {
                Security::Stls(_) if !self.wire.secure() => (ok("go ahead"), Effect::Tls),
                _ => (b"-ERR no TLS here\r\n".to_vec(), Effect::None),
            },
            ("USER", Some(_)) => (ok("send PASS"), Effect::None),
            ("PASS" | "APOP", _) => (ok("logged in"), Effect::Login),
            ("AUTH", Some(mechanism)) => match sasl::challenges(&mechanism.to_ascii_uppercase(), more) {
                None => (b"-ERR no such mechanism\r\n".to_vec(), Effect::None),
                Some(all) => match all.split_first() {
                    None => (ok("logged in"), Effect::Login),
                    Some((next, rest)) => (next.to_vec(), Effect::Challenge(rest.to_vec())),
                },
            },
            ("QUIT", _) => (ok("bye"), Effect::Quit),
            ("UTF8", _) => (ok("UTF-8 it is"), Effect::None),
            _ => (b"-ERR what?\r\n".to_vec(), Effect::None),
        }
    }

    fn logged_in(&self, verb: &str, number: Option<u32>, seen: &[Stored]) -> (Vec<u8>, Effect) {
        let shown = || (1_u32..).zip(seen).filter(|(_, stored)| !self.marked.contains(&stored.key));
        let one = || shown().find(|(own, _)| Some(*own) == number).map(|(_, stored)| stored);
        let none = (b"-ERR no such message\r\n".to_vec(), Effect::None);
        match verb {
            "CAPA" => (self.capabilities(2), Effect::None),
            "STAT" => {
                let octets: usize = shown().map(|(_, stored)| stored.message.octets.len()).sum();
                (ok(&format!("{} {octets}", shown().count())), Effect::None)
            }
            "LIST" | "UIDL" => {
                let of = |stored: &Stored| {
                    if verb == "LIST" { stored.message.size() } else { stored.message.uidl.clone() }
                };
                let line = |(number, stored): (u32, &Stored)| {
                    [number.to_string().as_bytes(), b" ", &of(stored), b"\r\n"].concat()
                };
                let lines: Vec<u8> = shown().flat_map(line).collect();
                ([ok("here they are"), lines, b".\r\n".to_vec()].concat(), Effect::None)
            }
            "RETR" => one()
                .map_or(none, |stored| (multiline(&stored.message.octets), Effect::Retrieved(stored.key))),
            "TOP" => one().map_or(none, |stored| (multiline(headers(&stored.message.octets)), Effect::None)),
            "DELE" => one().map_or(none, |stored| (ok("marked"), Effect::Marked(stored.key))),
            "NOOP" => (ok("yes"), Effect::None),
            "RSET" => (ok("unmarked"), Effect::Unmarked),
            "QUIT" => (ok("bye"), Effect::Quit),
            _ => (b"-ERR what?\r\n".to_vec(), Effect::None),
        }
    }

    fn capabilities(&self, stage: usize) -> Vec<u8> {
        match self.shared.script.capabilities.get(stage) {
            Some(Some(lines)) => {
                let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                format!("+OK capabilities\r\n{lines}.\r\n").into_bytes()
            }
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }

    /// Removes what was marked, at most so many, and what was retrieved where the server does that.
    fn remove(&mut self, most: usize) {
        let mut keys: BTreeSet<u64> = self.marked.iter().copied().take(most).collect();
        if self.shared.script.hides_retrieved {
            keys.extend(&self.retrieved);
        }
        let mut removed = Vec::new();
        locked(&self.shared.maildrop).retain(|stored| {
            let goes = keys.contains(&stored.key);
            if goes {
                removed.push(stored.message.clone());
            }
            !goes
        });
        self.logged(|log| log.removed.extend(removed));
    }

    fn logged(&self, note: impl FnOnce(&mut super::SessionLog)) {
        if let Some(log) = locked(&self.shared.log).get_mut(self.index) {
            note(log);
        }
    }
}

fn ok(text: &str) -> Vec<u8> {
    format!("+OK {text}\r\n").into_bytes()
}

/// A message as RFC 1939 section 3 sends it: dots stuffed, ended by a line with a dot alone.
fn multiline(octets: &[u8]) -> Vec<u8> {
    let mut out = ok("here it is");
    let mut at_line = true;
    for (index, &octet) in octets.iter().enumerate() {
        if at_line && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        at_line = octet == b'\n' && index > 0 && octets[index - 1] == b'\r';
    }
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn headers(octets: &[u8]) -> &[u8] {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
    &octets[..end]
}

fn without_cr(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for (index, &octet) in octets.iter().enumerate() {
        if octet != b'\r' || octets.get(index + 1) != Some(&b'\n') {
            out.push(octet);
        }
    }
    out
}
