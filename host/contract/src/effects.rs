//! `effects`: what is to happen. Every call is checked at once, against the grants, the rules and the quotas, and
//! queued. Types of `postroom_mail` carry the rules; nothing here repairs what a plugin asked for.

use std::sync::Arc;

use postroom_mail::rules::neutral;
use postroom_mail::{
    Action, Address, Coding, Effect, Envelope, HeaderField, Key, Label, Mailbox, Name, OnConflict, Verdict,
};

use crate::blob::Blob;
use crate::call::{Call, Fields};
use crate::grants::SinkKind;
use crate::refusal::{Fault, Refusal};

/// Header fields one `forward` adds at most.
const ADD_HEADERS: usize = 16;
/// Characters of a reason.
const REASON: usize = 500;
/// Octets of one option's value.
const OPTION_VALUE: usize = 1024;
const METAS: usize = 16;
const OPTIONS: usize = 32;
const A_DAY: u32 = 86_400;

impl Call {
    /// Content under a key of an object sink; answers with the key.
    ///
    /// # Errors
    /// Without the grant, for what no key or option can be, or past a quota.
    pub fn store(
        &mut self,
        sink: &str,
        key: String,
        content: &Blob,
        options: Fields,
    ) -> Result<String, Refusal> {
        let sink = self.granted(sink, "store", SinkKind::Object)?;
        let key = Key::new(key)?;
        let stored = key.as_str().to_owned();
        let options = StoreOptions::read(options)?;
        let action = Action::Store {
            key,
            on_conflict: options.on_conflict,
            content_type: options.content_type,
            meta: options.meta,
        };
        self.queue(sink, action, content, options.coding)?;
        Ok(stored)
    }

    /// Content as a message in a mailbox sink.
    ///
    /// # Errors
    /// Without the grant, for what no mailbox or option can be, or past a quota.
    pub fn file_into(
        &mut self,
        sink: &str,
        mailbox: String,
        content: &Blob,
        options: Fields,
    ) -> Result<(), Refusal> {
        let sink = self.granted(sink, "file-into", SinkKind::Mailbox)?;
        let mailbox = Mailbox::new(mailbox)?;
        let action = Action::FileInto { mailbox, flags: flags(options)? };
        self.queue(sink, action, content, Coding::Identity)
    }

    /// The original on to new recipients through a transport sink.
    ///
    /// # Errors
    /// Without the grant, for what no recipient or header field can be, or past a quota.
    pub fn forward(&mut self, sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Refusal> {
        let sink = self.granted(sink, "forward", SinkKind::Transport)?;
        let envelope = self.envelope(to)?;
        if add_headers.len() > ADD_HEADERS {
            return Err(Refusal::quota("added header fields", add_headers.len() as u64, ADD_HEADERS as u64));
        }
        let fields = add_headers.into_iter().map(|(name, value)| HeaderField::new(name, value));
        let action = Action::Send { envelope, add_headers: fields.collect::<Result<_, _>>()? };
        let message = Arc::clone(&self.work()?.message);
        self.queue(sink, action, message.raw(), Coding::Identity)
    }

    /// A message that the plugin made, through a transport sink.
    ///
    /// # Errors
    /// Without the grant, for what no recipient or option can be, or past a quota.
    pub fn send(
        &mut self,
        sink: &str,
        to: Vec<String>,
        message: &Blob,
        options: Fields,
    ) -> Result<(), Refusal> {
        let sink = self.granted(sink, "send", SinkKind::Transport)?;
        if let Some((name, _)) = options.first() {
            return Err(Refusal::invalid(format!("send has no option \"{}\"", neutral(name, 64))));
        }
        let action = Action::Send { envelope: self.envelope(to)?, add_headers: Vec::new() };
        self.queue(sink, action, message, Coding::Identity)
    }

    /// A mark for later steps.
    ///
    /// # Errors
    /// For what no label can be, or past the quota.
    pub fn label(&mut self, name: String) -> Result<(), Refusal> {
        let label = Label::new(name)?;
        let allowed = self.limits.labels;
        let work = self.work()?;
        if work.earlier.contains(&label) || work.queue.labels.contains(&label) {
            return Ok(());
        }
        if work.queue.labels.len() >= allowed as usize {
            return Err(Refusal::quota("labels", u64::from(allowed) + 1, allowed.into()));
        }
        work.queue.labels.push(label);
        Ok(())
    }

    /// The message goes without a copy.
    ///
    /// # Errors
    /// Without the grant.
    pub fn discard(&mut self, reason: &str) -> Result<(), Refusal> {
        let work = self.work()?;
        if !work.step.grants.discard {
            return Err(Fault::Denied(work.step.grants.line_with_discard()).into());
        }
        // Quarantine beats discard, whichever came first.
        if work.queue.verdict.is_none() {
            let step = work.step.step.clone();
            work.queue.verdict = Some(Verdict::Discard { step, reason: neutral(reason, REASON) });
        }
        Ok(())
    }

    /// The message is set aside.
    ///
    /// # Errors
    /// Outside of `handle`.
    pub fn quarantine(&mut self, reason: &str) -> Result<(), Refusal> {
        let work = self.work()?;
        if !matches!(work.queue.verdict, Some(Verdict::Quarantine { .. })) {
            let step = work.step.step.clone();
            work.queue.verdict = Some(Verdict::Quarantine { step, reason: neutral(reason, REASON) });
        }
        Ok(())
    }

    /// No later step sees the message.
    pub fn stop(&mut self) {
        if let Ok(work) = self.work() {
            work.queue.stop = true;
        }
    }

    /// When to try again, should `handle` fail.
    pub fn retry_after(&mut self, seconds: u32) {
        if let Ok(work) = self.work() {
            work.queue.retry_after = Some(seconds.min(A_DAY));
        }
    }

    /// The sink's name, when this step may use it and it takes this verb.
    fn granted(&mut self, sink: &str, verb: &str, kind: SinkKind) -> Result<Name, Refusal> {
        let name = Name::new(sink)?;
        let grants = &self.work()?.step.grants;
        match grants.sinks.get(&name) {
            None => Err(Fault::Denied(grants.line_with_sink(&name)).into()),
            Some(actual) if *actual != kind => Err(Refusal::invalid(format!(
                "\"{name}\" is {}; {verb} needs {}",
                actual.describe(),
                kind.describe()
            ))),
            Some(_) => Ok(name),
        }
    }

    fn envelope(&self, to: Vec<String>) -> Result<Envelope, Refusal> {
        let allowed = self.limits.recipients;
        if to.is_empty() {
            return Err(Refusal::invalid("there must be at least one recipient"));
        }
        if to.len() > allowed as usize {
            return Err(Refusal::quota("recipients", to.len() as u64, allowed.into()));
        }
        let mut recipients: Vec<Address> = Vec::with_capacity(to.len());
        for text in to {
            let address = Address::new(text)?;
            if !recipients.contains(&address) {
                recipients.push(address);
            }
        }
        Ok(Envelope { from: None, to: recipients })
    }

    fn queue(&mut self, sink: Name, action: Action, blob: &Blob, coding: Coding) -> Result<(), Refusal> {
        let (effects, made_octets, most_octets) =
            (u64::from(self.limits.effects), self.limits.made_octets, self.effect_octets());
        let known = blob.known_digest();
        let work = self.work()?;
        // What was asked for before costs nothing. Anything else is counted before it is digested.
        if known.is_some_and(|digest| work.queue.holds(&work.id_of(&sink, &action, &digest))) {
            return Ok(());
        }
        let octets = work.queue.octets.saturating_add(blob.size());
        let made = work.queue.made.saturating_add(blob.made_octets());
        let quotas = [
            ("effects", work.queue.effects.len() as u64 + 1, effects),
            ("octets of all effects", octets, most_octets),
            ("octets made by the plugin in all effects", made, made_octets),
        ];
        if let Some((what, asked, allowed)) = quotas.into_iter().find(|(_, asked, allowed)| asked > allowed) {
            return Err(Refusal::quota(what, asked, allowed));
        }
        let digest = self.digest(blob)?;
        let work = self.work()?;
        let id = work.id_of(&sink, &action, &digest);
        if work.queue.holds(&id) {
            return Ok(());
        }
        let step = &work.step;
        let effect = Effect {
            id,
            step: step.step.clone(),
            sink,
            action,
            content: blob.content(coding),
            digest,
            size: blob.size(),
            required: step.required,
        };
        work.queue.octets = octets;
        work.queue.made = made;
        work.queue.effects.push(effect);
        Ok(())
    }
}

struct StoreOptions {
    on_conflict: OnConflict,
    coding: Coding,
    content_type: Option<String>,
    meta: Vec<(String, String)>,
}

impl StoreOptions {
    fn read(options: Fields) -> Result<Self, Refusal> {
        let mut read = Self {
            on_conflict: OnConflict::Refuse,
            coding: Coding::Identity,
            content_type: None,
            meta: Vec::new(),
        };
        for (name, value) in unique(options)? {
            match (name.as_str(), value.as_str()) {
                ("on-conflict", "refuse") => read.on_conflict = OnConflict::Refuse,
                ("on-conflict", "number") => read.on_conflict = OnConflict::Number,
                ("compress", "zstd") => read.coding = Coding::Zstd,
                ("content-type", _) => read.content_type = Some(printable("content-type", value)?),
                ("on-conflict" | "compress", _) => {
                    let value = neutral(&value, 64);
                    return Err(Refusal::invalid(format!("option {name} cannot be \"{value}\"")));
                }
                (_, _) => match name.strip_prefix("meta-").filter(|name| is_token(name)) {
                    Some(name) if read.meta.len() < METAS => {
                        let value = printable("meta", value)?;
                        read.meta.push((name.to_owned(), value));
                    }
                    Some(_) => return Err(Refusal::quota("meta options", METAS as u64 + 1, METAS as u64)),
                    None => {
                        let name = neutral(&name, 64);
                        let known = "content-type, compress, on-conflict, meta-NAME";
                        return Err(Refusal::invalid(format!(
                            "store has no option \"{name}\"; it has {known}"
                        )));
                    }
                },
            }
        }
        Ok(read)
    }
}

/// Maildir letters, sorted and each once, as Maildir wants them.
fn flags(options: Fields) -> Result<String, Refusal> {
    let mut letters: Vec<char> = Vec::new();
    for (name, value) in unique(options)? {
        if name != "flags" {
            let name = neutral(&name, 64);
            return Err(Refusal::invalid(format!("file-into has no option \"{name}\"; it has flags")));
        }
        if let Some(letter) = value.chars().find(|letter| !"DFPRST".contains(*letter)) {
            let letter = letter.escape_debug();
            return Err(Refusal::invalid(format!("flag '{letter}' is not one of DFPRST")));
        }
        letters = value.chars().collect();
    }
    letters.sort_unstable();
    letters.dedup();
    Ok(letters.into_iter().collect())
}

/// Counted before they are compared with each other: no limit of the guest's time holds in here.
fn unique(options: Fields) -> Result<Fields, Refusal> {
    if options.len() > OPTIONS {
        return Err(Refusal::quota("options", options.len() as u64, OPTIONS as u64));
    }
    let twice = options
        .iter()
        .enumerate()
        .find(|(index, (name, _))| options[..*index].iter().any(|(n, _)| n == name));
    match twice {
        Some((_, (name, _))) => {
            Err(Refusal::invalid(format!("option \"{}\" is given twice", neutral(name, 64))))
        }
        None => Ok(options),
    }
}

fn is_token(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn printable(what: &str, value: String) -> Result<String, Refusal> {
    if value.len() > OPTION_VALUE || value.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!(
            "option {what} must be at most {OPTION_VALUE} octets without control characters"
        )));
    }
    Ok(value)
}
