//! A POP3 server as a model (RFC 1939): `DELE` marks, `QUIT` removes. Its answers can be cut off at any octet, its ears
//! closed before any command, and the answer to `QUIT` lost either way.

use std::collections::BTreeSet;

use crate::journal::Event;
use crate::mails::{Mail, mails};

/// Where the connection breaks, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    Never,
    /// After so many octets of answers, counted over all sessions.
    Octets(usize),
    /// Before the server reads this command, counted over all sessions.
    Command(usize),
    /// After the first `QUIT` that has something to remove: it is removed, but no answer comes.
    QuitDone,
    /// The same, but nothing is removed.
    QuitUndone,
}

/// The server with its five messages.
#[derive(Clone, Debug)]
pub struct Maildrop {
    mails: Vec<Mail>,
    removed: BTreeSet<usize>,
    cut: Cut,
    /// Octets of all answers so far.
    pub octets: usize,
    /// Commands read so far.
    pub commands: usize,
    session: Session,
}

#[derive(Clone, Debug, Default)]
struct Session {
    shown: Vec<usize>,
    marked: BTreeSet<usize>,
    outgoing: Vec<u8>,
    closed: bool,
}

impl Maildrop {
    /// With everything in it.
    #[must_use]
    pub fn new(cut: Cut) -> Self {
        let (removed, session) = (BTreeSet::new(), Session::default());
        Self { mails: mails(), removed, cut, octets: 0, commands: 0, session }
    }

    /// Takes in what happened before.
    pub fn happened(&mut self, event: &Event) {
        match event {
            Event::Removed(index) => drop(self.removed.insert(*index)),
            Event::Delivered { .. } => {}
        }
    }

    /// All messages it ever held.
    #[must_use]
    pub fn mails(&self) -> &[Mail] {
        &self.mails
    }

    /// Those it removed.
    #[must_use]
    pub fn removed(&self) -> &BTreeSet<usize> {
        &self.removed
    }

    /// A connection: the greeting.
    pub fn connect(&mut self) {
        let shown = (0..self.mails.len()).filter(|index| !self.removed.contains(index)).collect();
        self.session = Session { shown, ..Session::default() };
        self.say(b"+OK\r\n".to_vec());
    }

    /// Octets of answers; empty when the connection is closed.
    pub fn receive(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.session.outgoing)
    }

    /// One command. What it removed.
    pub fn command(&mut self, line: &[u8]) -> Vec<Event> {
        if self.session.closed {
            return Vec::new();
        }
        if self.cut == Cut::Command(self.commands) {
            self.close();
            return Vec::new();
        }
        self.commands += 1;
        let text = std::str::from_utf8(line).expect("commands are ASCII").trim_end();
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "USER" | "PASS" => self.say(b"+OK\r\n".to_vec()),
            "STAT" => {
                let total: usize =
                    self.session.shown.iter().map(|index| self.mails[*index].octets.len()).sum();
                self.say(format!("+OK {} {total}\r\n", self.session.shown.len()).into_bytes());
            }
            "LIST" => self.list(|mail| mail.octets.len().to_string()),
            "UIDL" => self.list(|mail| mail.uid.clone()),
            "RETR" => {
                let octets = stuffed(&self.mails[self.index(argument)].octets);
                self.say([b"+OK\r\n".as_slice(), &octets, b".\r\n"].concat());
            }
            "DELE" => {
                let index = self.index(argument);
                self.session.marked.insert(index);
                self.say(b"+OK\r\n".to_vec());
            }
            "QUIT" => return self.quit(),
            other => panic!("the client sent {other}"),
        }
        Vec::new()
    }

    fn quit(&mut self) -> Vec<Event> {
        let marked = std::mem::take(&mut self.session.marked);
        let lost = !marked.is_empty() && matches!(self.cut, Cut::QuitDone | Cut::QuitUndone);
        let undone = lost && self.cut == Cut::QuitUndone;
        if lost {
            self.close();
        }
        if undone {
            return Vec::new();
        }
        self.removed.extend(&marked);
        if !lost {
            self.say(b"+OK\r\n".to_vec());
        }
        marked.into_iter().map(Event::Removed).collect()
    }

    fn list(&mut self, row: impl Fn(&Mail) -> String) {
        let mut answer = String::from("+OK\r\n");
        for (number, index) in (1..).zip(&self.session.shown) {
            answer.push_str(&format!("{number} {}\r\n", row(&self.mails[*index])));
        }
        answer.push_str(".\r\n");
        self.say(answer.into_bytes());
    }

    fn index(&self, argument: &str) -> usize {
        let number: usize = argument.parse().expect("a message number");
        self.session.shown[number - 1]
    }

    fn say(&mut self, mut answer: Vec<u8>) {
        if let Cut::Octets(at) = self.cut
            && self.octets + answer.len() > at
        {
            answer.truncate(at - self.octets);
            self.close();
        }
        self.octets += answer.len();
        self.session.outgoing = answer;
    }

    fn close(&mut self) {
        self.cut = Cut::Never;
        self.session.closed = true;
    }
}

fn stuffed(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 100);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend(line);
    }
    out
}
