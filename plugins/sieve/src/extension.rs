//! The extensions of Sieve: which there are here, and why others are not.

/// An extension that a script can `require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    /// RFC 5173.
    Body,
    /// RFC 5228 section 2.7.3; octet and ascii-casemap are always there.
    BasicComparator,
    /// RFC 4790 section 9.1.
    AsciiNumeric,
    /// RFC 3894.
    Copy,
    /// RFC 5260 section 4.
    Date,
    /// RFC 7352.
    Duplicate,
    /// RFC 5293, as far as originals stay as they are.
    EditHeader,
    /// RFC 5228 section 2.4.2.4.
    EncodedCharacter,
    /// RFC 5228 section 5.4.
    Envelope,
    /// RFC 5183.
    Environment,
    /// RFC 5429.
    EReject,
    /// RFC 5228 section 4.1.
    FileInto,
    /// RFC 5463.
    IHave,
    /// RFC 5232.
    Imap4Flags,
    /// RFC 5260 section 6.
    Index,
    /// RFC 5490 section 3.
    Mailbox,
    /// draft-ietf-sieve-regex.
    Regex,
    /// RFC 5429.
    Reject,
    /// RFC 5231.
    Relational,
    /// RFC 5233.
    SubAddress,
    /// RFC 5229.
    Variables,
}

/// Under their names.
pub(crate) const KNOWN: [(&str, Extension); 22] = [
    ("body", Extension::Body),
    ("comparator-i;ascii-casemap", Extension::BasicComparator),
    ("comparator-i;ascii-numeric", Extension::AsciiNumeric),
    ("comparator-i;octet", Extension::BasicComparator),
    ("copy", Extension::Copy),
    ("date", Extension::Date),
    ("duplicate", Extension::Duplicate),
    ("editheader", Extension::EditHeader),
    ("encoded-character", Extension::EncodedCharacter),
    ("envelope", Extension::Envelope),
    ("environment", Extension::Environment),
    ("ereject", Extension::EReject),
    ("fileinto", Extension::FileInto),
    ("ihave", Extension::IHave),
    ("imap4flags", Extension::Imap4Flags),
    ("index", Extension::Index),
    ("mailbox", Extension::Mailbox),
    ("regex", Extension::Regex),
    ("reject", Extension::Reject),
    ("relational", Extension::Relational),
    ("subaddress", Extension::SubAddress),
    ("variables", Extension::Variables),
];

impl Extension {
    /// The extension of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        KNOWN.iter().find(|(known, _)| *known == name).map(|(_, extension)| *extension)
    }

    /// What a script writes to have it.
    pub(crate) fn name(self) -> &'static str {
        KNOWN.iter().find(|(_, extension)| *extension == self).map_or("", |(name, _)| name)
    }
}

/// Why an extension is not there, as far as there is more to say than that.
pub(crate) fn why_not(name: &str) -> &'static str {
    match name {
        "vacation" | "vacation-seconds" => {
            ": nobody is answered, since mail that is retrieved by POP3 was accepted long ago"
        }
        "include" | "global" => ": a script is one file; put the commands into it",
        "imapflags" => ": it was replaced by \"imap4flags\"",
        "enotify" | "notify" => ": use a step of its own for notifications",
        "spamtest" | "spamtestplus" | "virustest" => ": test the header that the filter has written",
        "mime" | "foreverypart" | "replace" | "enclose" | "extracttext" => {
            ": originals are never rewritten; the plugin attachments works on parts"
        }
        _ => "",
    }
}

/// The extensions that a script has asked for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions(u32);

impl Extensions {
    /// Adds one.
    pub(crate) fn add(&mut self, extension: Extension) {
        self.0 |= bit(extension);
    }

    /// Whether it was asked for.
    pub(crate) fn has(self, extension: Extension) -> bool {
        self.0 & bit(extension) != 0
    }
}

fn bit(extension: Extension) -> u32 {
    1 << extension as u32
}
