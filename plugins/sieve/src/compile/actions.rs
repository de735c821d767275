//! The actions, each by its name.

use super::Compiler;
use super::arguments::Arguments;
use crate::address;
use crate::extension::Extension;
use crate::flaw::{Flaw, quoted};
use crate::program::{Action, Change, Need};
use crate::syntax::Call;
use crate::text::Text;
use crate::variables::Modifier;

impl Compiler {
    /// The action of that name, which is in lower case.
    pub(super) fn action(&mut self, name: &str, call: &Call<'_>) -> Result<Action, Flaw> {
        let arguments = Arguments::of(call);
        match name {
            "keep" => self.keep(arguments),
            "fileinto" => self.file_into(call, arguments),
            "redirect" => self.redirect(call, arguments),
            "discard" => arguments.end().map(|()| Action::Discard),
            "stop" => arguments.end().map(|()| Action::Stop),
            "set" => self.set(call, arguments),
            "setflag" => self.flag(Change::Set, call, arguments),
            "addflag" => self.flag(Change::Add, call, arguments),
            "removeflag" => self.flag(Change::Remove, call, arguments),
            "addheader" => self.add_header(call, arguments),
            "reject" => self.reject(Extension::Reject, call, arguments),
            "ereject" => self.reject(Extension::EReject, call, arguments),
            "error" => self.error(call, arguments),
            _ => Err(Flaw::new(call.at, refusal(name))),
        }
    }

    fn keep(&self, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        let mut flags = None;
        while let Some((at, tag)) = arguments.tag() {
            match tag.as_str() {
                "flags" => flags = Some(self.flag_list(at, &mut arguments)?),
                _ => return Err(arguments.unknown(at, &tag)),
            }
        }
        arguments.end()?;
        Ok(Action::Keep { flags })
    }

    fn file_into(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        self.need(Extension::FileInto, call.at, "fileinto")?;
        let (mut flags, mut copy) = (None, false);
        while let Some((at, tag)) = arguments.tag() {
            match tag.as_str() {
                "flags" => flags = Some(self.flag_list(at, &mut arguments)?),
                "copy" => {
                    self.need(Extension::Copy, at, ":copy")?;
                    copy = true;
                }
                // Mailbox sinks make what is not there.
                "create" => self.need(Extension::Mailbox, at, ":create")?,
                _ => return Err(arguments.unknown(at, &tag)),
            }
        }
        let mailbox = self.text(arguments.text("the mailbox")?)?;
        arguments.end()?;
        self.needs(Need::Mailboxes, call.at);
        Ok(Action::FileInto { mailbox, copy, flags })
    }

    fn flag_list(&self, at: u32, arguments: &mut Arguments<'_, '_>) -> Result<Vec<Text>, Flaw> {
        self.need(Extension::Imap4Flags, at, ":flags")?;
        self.texts(arguments.texts("flags")?)
    }

    fn redirect(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        let mut copy = false;
        while let Some((at, tag)) = arguments.tag() {
            match tag.as_str() {
                "copy" => {
                    self.need(Extension::Copy, at, ":copy")?;
                    copy = true;
                }
                _ => return Err(arguments.unknown(at, &tag)),
            }
        }
        let (at, written) = arguments.text("the address")?;
        let to = self.text((at, written))?;
        if to.plain().is_some_and(|address| !address::is_bare(address)) {
            return Err(Flaw::new(at, format!("{} is no bare address like a@b.example", quoted(written))));
        }
        arguments.end()?;
        self.needs(Need::Redirect, call.at);
        Ok(Action::Redirect { to, copy })
    }

    fn set(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        self.need(Extension::Variables, call.at, "set")?;
        let mut modifiers: Vec<Modifier> = Vec::new();
        while let Some((at, tag)) = arguments.tag() {
            let Some(modifier) = Modifier::find(&tag) else { return Err(arguments.unknown(at, &tag)) };
            if modifier == Modifier::QuoteRegex {
                self.need(Extension::Regex, at, ":quoteregex")?;
            }
            if modifiers.iter().any(|other| other.precedence() == modifier.precedence()) {
                return Err(Flaw::new(at, format!("\":{tag}\" cannot stand beside another of its kind")));
            }
            modifiers.push(modifier);
        }
        modifiers.sort_unstable();
        let name = arguments.text("the name of a variable")?;
        // Before the name has a number: the value may refer to what it was.
        let value = arguments.text("the value")?;
        let variable = self.variable(name)?;
        let value = self.text(value)?;
        arguments.end()?;
        Ok(Action::Set { variable, modifiers, value })
    }

    fn flag(
        &mut self,
        change: Change,
        call: &Call<'_>,
        mut arguments: Arguments<'_, '_>,
    ) -> Result<Action, Flaw> {
        self.need(Extension::Imap4Flags, call.at, call.name)?;
        if let Some((at, tag)) = arguments.tag() {
            return Err(arguments.unknown(at, &tag));
        }
        let variable = match arguments.count() {
            0 | 1 => None,
            _ => {
                let name = arguments.text("the name of a variable")?;
                self.need(Extension::Variables, name.0, name.1)?;
                Some(self.variable(name)?)
            }
        };
        let flags = self.texts(arguments.texts("flags")?)?;
        arguments.end()?;
        Ok(Action::Flags { change, variable, flags })
    }

    fn add_header(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        self.need(Extension::EditHeader, call.at, "addheader")?;
        let mut last = false;
        while let Some((at, tag)) = arguments.tag() {
            match tag.as_str() {
                "last" => last = true,
                _ => return Err(arguments.unknown(at, &tag)),
            }
        }
        let (at, written) = arguments.text("the name of a field")?;
        let name = self.text((at, written))?;
        if name.plain().is_some_and(|name| !address::is_field_name(name)) {
            return Err(Flaw::new(at, format!("{} is no name of a header field", quoted(written))));
        }
        let value = self.text(arguments.text("the value")?)?;
        arguments.end()?;
        Ok(Action::AddHeader { name, value, last })
    }

    fn reject(
        &mut self,
        extension: Extension,
        call: &Call<'_>,
        mut arguments: Arguments<'_, '_>,
    ) -> Result<Action, Flaw> {
        self.need(extension, call.at, call.name)?;
        if let Some((at, tag)) = arguments.tag() {
            return Err(arguments.unknown(at, &tag));
        }
        let reason = self.text(arguments.text("the reason")?)?;
        arguments.end()?;
        self.needs(Need::Reject, call.at);
        Ok(Action::Reject { reason })
    }

    fn error(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Action, Flaw> {
        self.need(Extension::IHave, call.at, "error")?;
        let text = self.text(arguments.text("the message")?)?;
        arguments.end()?;
        Ok(Action::Error { text })
    }
}

/// Why a command is none here.
fn refusal(name: &str) -> String {
    let why = match name {
        "deleteheader" => "originals are never rewritten, so no field can be taken away",
        "vacation" => "nobody is answered, since mail that is retrieved by POP3 was accepted long ago",
        "include" | "return" | "global" | "import" | "export" => "a script is one file",
        "notify" => "use a step of its own for notifications",
        "foreverypart" | "break" | "replace" | "enclose" | "extracttext" => {
            "originals are never rewritten; the plugin attachments works on parts"
        }
        _ => return format!("there is no command {}", quoted(name)),
    };
    format!("{} is not supported: {why}", quoted(name))
}
