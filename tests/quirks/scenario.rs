//! A scenario as data: a server, an account, a number of polls, and what must come of it.

use std::collections::BTreeMap;

use postroom_tests::scripted::{Message, Rule, Script, Stored};

/// What a scenario shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Covers {
    /// A server quirk by its number, 1 to 62.
    Quirk(u8),
    /// A fault on the POP3 side by its number, 1 to 28.
    Test(u8),
}

/// What one poll reports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Parts of the error; `None` when there must be none.
    pub(crate) error: Option<Vec<&'static str>>,
    pub(crate) hint: Vec<&'static str>,
    pub(crate) person: bool,
    /// Whether a person has to act does not matter.
    pub(crate) either: bool,
    pub(crate) refused: Vec<&'static str>,
    /// The listing was not trusted; nothing was retrieved and nothing was forgotten because of it.
    pub(crate) held: bool,
    /// Stands in the error or among what was refused.
    pub(crate) somewhere: Vec<&'static str>,
    /// Anything will do: the scenario is about the end.
    pub(crate) any: bool,
}

type Between = Box<dyn Fn(&mut Vec<Stored>) + Send + Sync>;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) covers: Vec<Covers>,
    pub(crate) script: Script,
    pub(crate) account: Vec<String>,
    pub(crate) top: String,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) host: &'static str,
    pub(crate) tls: Option<&'static str>,
    pub(crate) delete: Option<(u32, String)>,
    pub(crate) polls: u32,
    pub(crate) restarts: bool,
    pub(crate) between: BTreeMap<u32, Between>,
    // What must come of it.
    pub(crate) stored: Vec<Vec<u8>>,
    pub(crate) left: Vec<Vec<u8>>,
    pub(crate) any_left: bool,
    pub(crate) outcomes: BTreeMap<u32, Outcome>,
    pub(crate) ended: Option<&'static str>,
    pub(crate) asked: Vec<(&'static str, usize)>,
    pub(crate) at_most: Vec<(&'static str, usize)>,
    pub(crate) sent: Vec<&'static str>,
    pub(crate) never: Vec<&'static str>,
    /// Stands anywhere in the first report.
    pub(crate) warning: Option<&'static str>,
    /// The name that every handshake asks for.
    pub(crate) server_name: Option<&'static str>,
}

/// One poll of an honest account: everything is stored, nothing is deleted, nothing fails, and the session ends with `QUIT`,
/// until the scenario says otherwise.
pub(crate) fn scenario(name: &'static str, script: Script) -> Scenario {
    let octets = |message: &Message| message.octets.clone();
    let uidl = |message: &Message| message.uidl.clone();
    Scenario {
        name,
        covers: Vec::new(),
        stored: script.messages.iter().map(octets).collect(),
        left: script.messages.iter().map(uidl).collect(),
        script,
        account: Vec::new(),
        top: String::new(),
        user: "user",
        password: "correct horse",
        host: "localhost",
        tls: None,
        delete: None,
        polls: 1,
        restarts: false,
        between: BTreeMap::new(),
        any_left: false,
        outcomes: BTreeMap::new(),
        ended: None,
        asked: Vec::new(),
        at_most: Vec::new(),
        warning: None,
        server_name: None,
        sent: Vec::new(),
        never: Vec::new(),
    }
}

impl Scenario {
    pub(crate) fn quirks(mut self, numbers: &[u8]) -> Self {
        self.covers.extend(numbers.iter().map(|&number| Covers::Quirk(number)));
        self
    }

    pub(crate) fn tests(mut self, numbers: &[u8]) -> Self {
        self.covers.extend(numbers.iter().map(|&number| Covers::Test(number)));
        self
    }

    /// One more override of the server's.
    pub(crate) fn rule(mut self, rule: Rule) -> Self {
        self.script.rules.push(rule);
        self
    }

    pub(crate) fn polls(mut self, count: u32) -> Self {
        self.polls = count;
        self
    }

    /// One more line in the account.
    pub(crate) fn account(mut self, line: &str) -> Self {
        self.account.push(line.to_owned());
        self
    }

    /// One more line above all tables, e.g. `limits.message = "64 KiB"`.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    pub(crate) fn login(mut self, user: &'static str, password: &'static str) -> Self {
        (self.user, self.password) = (user, password);
        self
    }

    pub(crate) fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// How the account speaks TLS, when that is not what the server speaks.
    pub(crate) fn tls(mut self, mode: &'static str) -> Self {
        self.tls = Some(mode);
        self
    }

    /// Deletes what is done. Not in the first poll: whether mail is done before that one ends is a race.
    pub(crate) fn deletes(self) -> Self {
        self.delete_from(2, "{ when = \"done\", after = \"0s\" }")
    }

    pub(crate) fn delete_from(mut self, poll: u32, policy: &str) -> Self {
        self.delete = Some((poll, policy.to_owned()));
        self
    }

    /// A new process for each poll, with the same state directory.
    pub(crate) fn restarts(mut self) -> Self {
        self.restarts = true;
        self
    }

    /// A change to the maildrop before a poll.
    pub(crate) fn before(
        mut self,
        poll: u32,
        change: impl Fn(&mut Vec<Stored>) + Send + Sync + 'static,
    ) -> Self {
        self.between.insert(poll, Box::new(change));
        self
    }

    /// Exactly these are stored, each as often as named.
    pub(crate) fn stores(mut self, octets: Vec<Vec<u8>>) -> Self {
        self.stored = octets;
        self
    }

    /// Of the server's first messages exactly those with these unique-ids are stored.
    pub(crate) fn stores_only(mut self, uidls: &[&str]) -> Self {
        let wanted = |message: &&Message| uidls.iter().any(|uidl| uidl.as_bytes() == message.uidl);
        self.stored =
            self.script.messages.iter().filter(wanted).map(|message| message.octets.clone()).collect();
        self
    }

    /// Exactly these are in the maildrop at the end.
    pub(crate) fn leaves(mut self, uidls: &[&str]) -> Self {
        self.left = uidls.iter().map(|uidl| uidl.as_bytes().to_vec()).collect();
        self
    }

    /// What stays in the maildrop does not matter, as long as what is removed is stored.
    pub(crate) fn whatever_left(mut self) -> Self {
        self.any_left = true;
        self
    }

    fn outcome(mut self, poll: u32, outcome: Outcome) -> Self {
        self.outcomes.insert(poll, outcome);
        self
    }

    /// The poll fails with an error that holds all of these (case does not matter), and is tried again by itself.
    pub(crate) fn fails(self, poll: u32, parts: &[&'static str]) -> Self {
        self.outcome(poll, Outcome { error: Some(parts.to_vec()), ..Outcome::default() })
    }

    /// The poll fails, and a person has to act.
    pub(crate) fn parks(self, poll: u32, parts: &[&'static str]) -> Self {
        self.outcome(poll, Outcome { error: Some(parts.to_vec()), person: true, ..Outcome::default() })
    }

    /// The first poll fails, whatever it says and whoever has to act.
    pub(crate) fn whatever_failing(self) -> Self {
        self.outcome(1, Outcome { error: Some(Vec::new()), either: true, ..Outcome::default() })
    }

    /// The poll succeeds and names messages that stay, with all of these parts.
    pub(crate) fn refuses(self, poll: u32, parts: &[&'static str]) -> Self {
        self.outcome(poll, Outcome { refused: parts.to_vec(), ..Outcome::default() })
    }

    /// As [`Scenario::refuses`] for every poll up to `last`.
    pub(crate) fn refuses_to(mut self, last: u32, parts: &[&'static str]) -> Self {
        for poll in 1..=last {
            self = self.refuses(poll, parts);
        }
        self
    }

    /// Whether it fails or names messages that stay: the text holds this.
    pub(crate) fn fails_or_refuses(self, poll: u32, part: &'static str) -> Self {
        self.outcome(poll, Outcome { somewhere: vec![part], ..Outcome::default() })
    }

    /// The listing of the poll is not trusted.
    pub(crate) fn holds(self, poll: u32) -> Self {
        self.outcome(poll, Outcome { held: true, ..Outcome::default() })
    }

    /// Whether the poll succeeds does not matter.
    pub(crate) fn whatever(self, poll: u32) -> Self {
        self.outcome(poll, Outcome { any: true, ..Outcome::default() })
    }

    /// The hint of the poll, which fails, holds these.
    pub(crate) fn hints(mut self, poll: u32, parts: &[&'static str]) -> Self {
        self.outcomes.entry(poll).or_default().hint = parts.to_vec();
        self
    }

    /// How the sessions ended, one letter each as of [`postroom_tests::scripted::End::letter`]; `+` after one: once or more
    /// often, `.`: either way. `Q` for each poll when not said.
    pub(crate) fn ended(mut self, pattern: &'static str) -> Self {
        self.ended = Some(pattern);
        self
    }

    /// The verb was sent so often in all sessions together.
    pub(crate) fn asks(mut self, verb: &'static str, times: usize) -> Self {
        self.asked.push((verb, times));
        self
    }

    /// The verb was sent at most so often in all sessions together.
    pub(crate) fn at_most(mut self, verb: &'static str, times: usize) -> Self {
        self.at_most.push((verb, times));
        self
    }

    /// The first report holds this somewhere.
    pub(crate) fn warns(mut self, part: &'static str) -> Self {
        self.warning = Some(part);
        self
    }

    /// Every handshake names this host.
    pub(crate) fn names(mut self, host: &'static str) -> Self {
        self.server_name = Some(host);
        self
    }

    /// Some line holds this.
    pub(crate) fn sends(mut self, part: &'static str) -> Self {
        self.sent.push(part);
        self
    }

    /// No line holds this.
    pub(crate) fn never_sends(mut self, part: &'static str) -> Self {
        self.never.push(part);
        self
    }
}

/// Whether the letters fit the pattern.
pub(crate) fn fits(pattern: &[u8], letters: &[u8]) -> bool {
    let Some((&wanted, rest)) = pattern.split_first() else { return letters.is_empty() };
    let one = letters.first().is_some_and(|&letter| letter == wanted || wanted == b'.');
    match rest.split_first() {
        Some((b'+', after)) => one && (fits(pattern, &letters[1..]) || fits(after, &letters[1..])),
        _ => one && fits(rest, &letters[1..]),
    }
}

#[test]
fn patterns_of_ends_fit_what_they_say() {
    assert!(fits(b"D+Q", b"DDQ") && fits(b"D+Q", b"DQ") && fits(b".Q", b"SQ") && fits(b"", b""));
    assert!(!fits(b"D+Q", b"Q") && !fits(b"Q", b"QQ") && !fits(b"QQ", b"Q"));
}
