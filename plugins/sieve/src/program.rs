//! A checked script: everything that can be known without a message is known. Running it needs no more checks.

use regex_lite::Regex;

use crate::matching::Matching;
use crate::text::Text;
use crate::variables::Modifier;

/// What a script does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// What it needs of the settings, each with the place that needs it first.
    pub(crate) needs: Vec<(Need, u32)>,
    /// Whether matches set variables.
    pub(crate) captures: bool,
}

/// Something that the operator has to set for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Where `fileinto` files.
    Mailboxes,
    /// Through what `redirect` sends.
    Redirect,
    /// What becomes of `reject` and `ereject`.
    Reject,
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The first branch whose test holds, else the other steps.
    If {
        /// In order.
        branches: Vec<(Test, Vec<Step>)>,
        /// When none holds.
        otherwise: Vec<Step>,
    },
    /// An action.
    Act {
        /// Where it stands.
        at: u32,
        /// What it does.
        action: Action,
    },
}

/// An action.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// RFC 5228 section 4.3.
    Keep {
        /// RFC 5232 section 5.
        flags: Option<Vec<Text>>,
    },
    /// RFC 5228 section 4.1.
    FileInto {
        /// As written.
        mailbox: Text,
        /// RFC 3894: the implicit keep stays.
        copy: bool,
        /// RFC 5232 section 5.
        flags: Option<Vec<Text>>,
    },
    /// RFC 5228 section 4.2.
    Redirect {
        /// The address.
        to: Text,
        /// RFC 3894: the implicit keep stays.
        copy: bool,
    },
    /// RFC 5228 section 4.4.
    Discard,
    /// RFC 5228 section 3.3.
    Stop,
    /// RFC 5229 section 4.
    Set {
        /// The variable's number.
        variable: usize,
        /// In the order they are applied in.
        modifiers: Vec<Modifier>,
        /// The value.
        value: Text,
    },
    /// RFC 5232 section 3.
    Flags {
        /// What is done.
        change: Change,
        /// The variable's number; the internal one otherwise.
        variable: Option<usize>,
        /// Flags, each text with blanks between several.
        flags: Vec<Text>,
    },
    /// RFC 5293 section 4.
    AddHeader {
        /// Name of the field.
        name: Text,
        /// Its value.
        value: Text,
        /// Below the others.
        last: bool,
    },
    /// RFC 5429.
    Reject {
        /// What the sender would have been told.
        reason: Text,
    },
    /// RFC 5463 section 5.
    Error {
        /// The script's words.
        text: Text,
    },
    /// What could not be checked before `ihave` was asked: an error if it is reached.
    Refused {
        /// Why.
        text: String,
    },
}

/// What is done to flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// `setflag`
    Set,
    /// `addflag`
    Add,
    /// `removeflag`
    Remove,
}

/// A test.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// `true` and `false`, and what is known beforehand.
    Constant(bool),
    /// The test does not hold.
    Not(Box<Test>),
    /// All hold.
    All(Vec<Test>),
    /// One holds.
    Any(Vec<Test>),
    /// Fields of all these names are there.
    Exists(Vec<Text>),
    /// More, or fewer, octets.
    Size {
        /// `:over`
        over: bool,
        /// Octets.
        limit: u64,
    },
    /// Values match keys.
    Match {
        /// Where it stands.
        at: u32,
        /// The values.
        subject: Subject,
        /// How.
        matching: Matching,
        /// The keys.
        keys: Vec<Key>,
    },
    /// RFC 7352.
    Duplicate(Box<Duplicate>),
    /// RFC 5490 section 3.1.
    MailboxExists(Vec<Text>),
    /// What could not be checked before `ihave` was asked.
    Refused {
        /// Where.
        at: u32,
        /// Why.
        text: String,
    },
}

/// A key, with the expression it is when it is always the same.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// As written.
    pub(crate) text: Text,
    /// Compiled.
    pub(crate) regex: Option<Regex>,
}

/// The values that keys are matched against.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// Fields, decoded: RFC 5228 section 5.7.
    Header { names: Vec<Text>, index: Option<Index> },
    /// Addresses in fields: RFC 5228 section 5.1.
    Address { part: Part, names: Vec<Text>, index: Option<Index> },
    /// The envelope: RFC 5228 section 5.4.
    Envelope { part: Part, ends: Vec<End> },
    /// The body: RFC 5173.
    Body(Transform),
    /// A date in a field: RFC 5260 section 4.
    Date { name: Text, unit: Unit, zone: Zone, index: Option<Index> },
    /// When the message was retrieved: RFC 5260 section 5.
    CurrentDate { unit: Unit, zone: Zone },
    /// Texts: RFC 5229 section 5.
    String(Vec<Text>),
    /// Flags: RFC 5232 section 4. The internal variable without numbers.
    Flags(Vec<usize>),
    /// A fact about this host: RFC 5183.
    Environment(Text),
}

/// Which field of that name: RFC 5260 section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// From 1.
    pub(crate) number: usize,
    /// Counted from the last.
    pub(crate) last: bool,
}

/// What of an address: RFC 5228 section 2.7.4 and RFC 5233.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    #[default]
    All,
    /// Before the `@`.
    Local,
    /// After the `@`.
    Domain,
    /// Before the separator in the local part.
    User,
    /// After it.
    Detail,
}

/// An end of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Who it came from.
    From,
    /// Whom it was for.
    To,
}

/// What of a body: RFC 5173 section 5.
#[derive(Clone, Debug)]
pub(crate) enum Transform {
    /// As it came.
    Raw,
    /// Parts of these types, decoded.
    Content(Vec<String>),
    /// What can be read.
    Text,
}

/// What of a date: RFC 5260 section 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the RFC")]
pub(crate) enum Unit {
    Year,
    Month,
    Day,
    Date,
    Julian,
    Hour,
    Minute,
    Second,
    Time,
    Iso8601,
    Std11,
    Zone,
    Weekday,
}

/// In which zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The operator's.
    Local,
    /// The one that the field has.
    Original,
    /// Minutes east of UTC.
    Minutes(i32),
}

/// RFC 7352.
#[derive(Clone, Debug)]
pub(crate) struct Duplicate {
    /// Where it stands.
    pub(crate) at: u32,
    /// Messages are compared with those of the same handle.
    pub(crate) handle: Text,
    /// What identifies the message.
    pub(crate) identity: Identity,
    /// How long it is remembered.
    pub(crate) seconds: u64,
    /// Remembered anew with each duplicate.
    pub(crate) last: bool,
}

/// What identifies a message.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// The value of a field.
    Header(Text),
    /// A text.
    Text(Text),
}
