//! Scenarios as data: a configuration, what the servers do wrong, what is done one after the other, and what must be left.

use postroom_mail::Digest;
use postroom_practice::Times;
use postroom_practice::maildrop::Fault;
use postroom_practice::receiver::{ReceiverFault, Stage};

use crate::guests::a_bad_version_after_a_good_one;
use crate::world::World;

/// One thing that is done.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// The binary, to its end.
    Verb(&'static [&'static str]),
    /// `once`, killed there. Not undone when a later act is tried again.
    Killed(&'static str),
    /// `run` until it has deleted at the server, then SIGTERM.
    Daemon,
    /// Something changes at a server while nothing runs.
    Change(fn(&World)),
}

const ONCE: Act = Act::Verb(&["once", "--json"]);

/// What must have become of all mail in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Delivered to every sink, and gone from the server.
    Moved,
    /// Delivered to every sink, and still at the server.
    Copied,
    /// Marked as seen, delivered nowhere.
    Seen,
    /// Set aside, delivered nowhere, still at the server.
    Quarantined,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// More of the account.
    pub(crate) account: &'static str,
    /// More steps.
    pub(crate) steps: &'static str,
    /// Whether mail is sent by SMTP too.
    pub(crate) sends: bool,
    pub(crate) acts: &'static [Act],
    pub(crate) end: End,
}

const DELETE: &str = "delete = { when = \"done\", after = \"0s\" }";

/// The run of reliability test 3: five messages, four sinks, deletion.
pub(crate) const WHOLE: Scenario =
    Scenario { name: "whole", account: DELETE, steps: "", sends: true, acts: &[ONCE, ONCE], end: End::Moved };

/// A run that lasts.
pub(crate) const LASTING: Scenario = Scenario {
    name: "lasting",
    account: "delete = { when = \"done\", after = \"0s\" }\npoll = \"1s\"",
    steps: "",
    sends: true,
    acts: &[Act::Daemon],
    end: End::Moved,
};

/// Every server refuses or breaks something once, and the answer to `QUIT` is lost after it deleted.
const TROUBLED: Scenario = Scenario {
    name: "troubled",
    account: DELETE,
    steps: TWICE,
    sends: true,
    acts: &[
        Act::Change(trouble),
        ONCE,
        Act::Verb(&["seen", "retry", "home"]),
        ONCE,
        Act::Change(lose_the_goodbye),
        ONCE,
        ONCE,
    ],
    end: End::Moved,
};

/// The same objects once more, under the same keys.
const TWICE: &str = r#"
[[pipelines.main.steps]]
name = "again"
plugin = "archive"
grants = { sinks = ["bucket"] }
settings = { sink = "bucket", key = "{sha256}.eml" }
[[pipelines.main.steps]]
name = "directory-again"
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault", key = "{account}/{sha256}.eml" }
"#;

fn trouble(world: &World) {
    // Once among commands sent ahead, which are all asked for again when one of them breaks the connection, and once alone.
    world.maildrop.inject(Fault::RetrRefused { message: 2 }, Times::Next(2));
    world.maildrop.inject(Fault::RetrCut { message: 4, after: 100 }, Times::Next(2));
    world.bucket.refuse(1, 503);
    let full = ReceiverFault::Reply { stage: Stage::Rcpt, code: 451, text: "4.2.2 later".to_owned() };
    world.receiver.inject(full, Times::Next(1));
    // An object of somebody else's with the same octets: its content has to be compared.
    let key = format!("{}.eml", Digest::of(&world.mails[0]));
    world.put_aside(&key, &world.mails[0]);
}

fn lose_the_goodbye(world: &World) {
    world.maildrop.inject(Fault::QuitCut, Times::Next(1));
}

/// A delivery that was cut short is found again: what it left is cleared away, and what it did is recognised. Nothing
/// is sent, since two cuts may be in doubt about the same mail.
const CUT_MAILDIR: Scenario = Scenario {
    name: "cut-maildir",
    account: DELETE,
    steps: "",
    sends: false,
    acts: &[Act::Killed("kill=deliver.Mailbox/delivered#1"), ONCE, ONCE],
    end: End::Moved,
};

/// The same of a directory.
const CUT_DIRECTORY: Scenario = Scenario {
    name: "cut-directory",
    account: DELETE,
    steps: "",
    sends: false,
    acts: &[Act::Killed("kill=Directory.sync/after#1"), ONCE, ONCE],
    end: End::Moved,
};

/// The account is gone from the configuration while its mail waits, and comes back.
const ORPHANED: Scenario = Scenario {
    name: "orphaned",
    account: DELETE,
    steps: "",
    sends: true,
    acts: &[
        Act::Killed("kill=pipeline/leased#1"),
        Act::Change(|world| world.reconfigure(HERE, AWAY)),
        ONCE,
        Act::Change(|world| world.reconfigure(AWAY, HERE)),
        ONCE,
        ONCE,
    ],
    end: End::Moved,
};

const HERE: &str = "[accounts.home]";
const AWAY: &str = "[accounts.other]\nenabled = false";

/// The server shows nothing for a while, renumbers its mail, and then lies about a size.
const RENUMBERED: Scenario = Scenario {
    name: "renumbered",
    account: "",
    steps: "",
    sends: true,
    acts: &[
        ONCE,
        Act::Change(|world| world.maildrop.inject(Fault::EmptyListing, Times::Next(1))),
        ONCE,
        Act::Change(|world| world.maildrop.reassign_uidls("user")),
        ONCE,
        Act::Change(|world| {
            world.maildrop.inject(Fault::WrongSize { message: 1, size: 4711 }, Times::Always)
        }),
        ONCE,
    ],
    end: End::Copied,
};

/// Mail that is only marked as seen.
const SEEDED: Scenario = Scenario {
    name: "seeded",
    account: "first = \"new\"",
    steps: "",
    sends: true,
    acts: &[
        ONCE,
        Act::Verb(&["seen", "forget", "home", "--all", "--yes"]),
        Act::Verb(&["seen", "seed", "home"]),
    ],
    end: End::Seen,
};

/// A step asks for what it was not granted; asked to try again, it does once more.
const REFUSED: Scenario = Scenario {
    name: "refused",
    account: DELETE,
    steps: "[[pipelines.main.steps]]\nname = \"greedy\"\nplugin = \"archive\"\nsettings = { sink = \"vault\", key = \"x\" }\n",
    sends: true,
    acts: &[ONCE, Act::Verb(&["queue", "retry", "--state", "quarantined", "--yes"]), ONCE],
    end: End::Quarantined,
};

/// A version of a plugin fails, and the one before it takes over. What was set aside by then is taken back.
const FELL_BACK: Scenario = Scenario {
    name: "fell-back",
    account: DELETE,
    steps: "[[pipelines.main.steps]]\nname = \"mine\"\nplugin = \"./mine.wasm\"\nbreaker = { failures = 1 }\n",
    sends: false,
    acts: &[
        Act::Change(a_bad_version_after_a_good_one),
        ONCE,
        Act::Verb(&["queue", "retry", "--state", "quarantined", "--yes"]),
        ONCE,
    ],
    end: End::Moved,
};

/// All of them.
pub(crate) const ALL: [&Scenario; 10] = [
    &WHOLE,
    &LASTING,
    &TROUBLED,
    &CUT_MAILDIR,
    &CUT_DIRECTORY,
    &ORPHANED,
    &RENUMBERED,
    &SEEDED,
    &REFUSED,
    &FELL_BACK,
];
