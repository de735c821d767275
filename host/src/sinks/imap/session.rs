//! Owns the order of an IMAP session and what each refusal in it means. Must not file a message before what may be there of
//! it was looked for, or take for protected what came before TLS.

use std::collections::BTreeSet;

use postroom_failpoint::reach;
use postroom_mail::{Mailbox, Timestamp};

use super::filing::Filing;
use super::find;
use super::mailbox::Naming;
use super::response::{Kind, Response, Status, Value};
use super::wire::{Wire, WireError};
use super::{Imap, Timeouts};
use crate::config::TlsMode;
use crate::sinks::error::Fault;
use crate::sinks::stream::Stream;

/// Literals up to this size go without asking where the server allows it (RFC 7888 section 5). A larger one is asked for
/// first, so that a refusal costs no transfer.
const WITHOUT_ASKING: usize = 4096;
/// How much goes out before the clock starts anew.
const BLOCK: usize = 64 * 1024;
/// More data than any of our commands is answered with.
const MOST_DATA: usize = 4096;

/// An open session, protected and logged in as configured.
pub(super) struct Session {
    wire: Wire,
    place: String,
    capabilities: BTreeSet<String>,
    /// Whether `capabilities` are those of now.
    known: bool,
    naming: Option<Naming>,
    commands: u32,
    /// The connection is out of step: nothing more is said.
    broken: bool,
    timeouts: Timeouts,
}

/// Why there is no session.
pub(super) enum Opening {
    /// The server would not take the token; a fresh one may be taken.
    StaleToken(Fault),
    Failed(Fault),
}

impl From<Fault> for Opening {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl Session {
    /// Connects, protects and logs in.
    pub(super) async fn open(imap: &Imap, now: Timestamp, fresh: bool) -> Result<Self, Opening> {
        let (place, timeouts) = (imap.place(), imap.timeouts);
        reach("imap.connect", "begun");
        let stream = postroom_dial::connect(&imap.route()).await.map_err(dialled)?;
        reach("imap.connect", "connected");
        let stream = match imap.tls {
            TlsMode::Implicit => protect(imap, stream).await?,
            TlsMode::Starttls | TlsMode::None => Stream::Plain(stream),
        };
        let wire = Wire::new(stream);
        let mut session = Self {
            wire,
            place,
            capabilities: BTreeSet::new(),
            known: false,
            naming: None,
            commands: 0,
            broken: false,
            timeouts,
        };
        let greeted = session.greet().await?;
        match imap.tls {
            // RFC 9051 section 7.1.4: whoever is logged in already cannot be asked for TLS any more.
            TlsMode::Starttls if greeted == Kind::Preauth => {
                return Err(session.odd("a greeting that leaves no room for STARTTLS").into());
            }
            TlsMode::Starttls => session = session.start_tls(imap).await?,
            TlsMode::Implicit | TlsMode::None => {}
        }
        if greeted == Kind::Ok {
            session.learn().await?;
            session.authenticate(imap, now, fresh).await?;
        }
        session.learn().await?;
        Ok(session)
    }

    async fn greet(&mut self) -> Result<Kind, Fault> {
        let greeting = self.wire.response(self.timeouts.greeting).await;
        let greeting = greeting.map_err(|error| self.lost("instead of a greeting", error))?;
        reach("imap.connect", "greeted");
        match greeting {
            Response::Untagged(status) if matches!(status.kind, Kind::Ok | Kind::Preauth) => {
                self.take_capabilities(&status);
                Ok(status.kind)
            }
            Response::Untagged(status) => Err(Fault::unavailable(format!(
                "{} answered {} instead of a greeting; it will be tried again",
                self.place,
                status.shown()
            ))),
            Response::Continue(_) | Response::Tagged(..) | Response::Data(_) => {
                Err(self.odd("no greeting of IMAP"))
            }
        }
    }

    async fn start_tls(mut self, imap: &Imap) -> Result<Self, Fault> {
        self.learn().await?;
        if !self.offers("STARTTLS") {
            return Err(Fault::configuration(format!(
                "{} does not offer STARTTLS, so nothing was sent; somebody on the way may have removed it, or this port \
                 wants `tls = \"implicit\"`",
                self.place
            )));
        }
        let (status, _) = self.command("STARTTLS", "at STARTTLS").await?;
        if status.kind != Kind::Ok {
            return Err(Fault::configuration(format!(
                "{} answered {} at STARTTLS; it will not protect the connection",
                self.place,
                status.shown()
            )));
        }
        let Some(plain) = self.wire.into_plain() else {
            return Err(Fault::configuration(format!(
                "{} sent more in the clear after its answer to STARTTLS, which is an attack or a broken server; nothing \
                 was sent",
                self.place
            )));
        };
        let wire = Wire::new(protect(imap, plain).await?);
        Ok(Self { wire, capabilities: BTreeSet::new(), known: false, ..self })
    }

    /// Asks what the server can do, unless it said so since the last change of the session's state.
    async fn learn(&mut self) -> Result<(), Fault> {
        if self.known {
            return Ok(());
        }
        let (status, data) = self.command("CAPABILITY", "at CAPABILITY").await?;
        if status.kind != Kind::Ok {
            return Err(self.odd("no answer to CAPABILITY that IMAP knows"));
        }
        let listed =
            data.into_iter().filter(|values| values.first().is_some_and(|word| word.is("CAPABILITY")));
        let names = listed.flatten().filter_map(|value| match value {
            Value::Atom(octets) => Some(String::from_utf8_lossy(&octets).to_ascii_uppercase()),
            Value::Quoted(_) | Value::Literal(..) | Value::List(_) => None,
        });
        self.capabilities = names.collect();
        self.known = true;
        Ok(())
    }

    fn take_capabilities(&mut self, status: &Status) {
        if let Some(names) = status.arguments("CAPABILITY") {
            self.capabilities = names.into_iter().map(str::to_ascii_uppercase).collect();
            self.known = true;
        }
    }

    /// After a login they may differ.
    pub(super) fn forget_capabilities(&mut self, status: &Status) {
        self.known = false;
        self.take_capabilities(status);
    }

    pub(super) fn offers(&self, name: &str) -> bool {
        self.capabilities.contains(name)
    }

    pub(super) fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.iter().map(String::as_str)
    }

    /// What was found, in words.
    pub(super) async fn facts(&mut self, user: &str, namespace: Option<&str>) -> Result<Vec<String>, Fault> {
        let naming = self.naming(namespace).await?;
        let protection = self.wire.protection();
        let place = &self.place;
        let mut facts = vec![
            protection
                .map_or(format!("{place} answers WITHOUT TLS"), |tls| format!("{place} answers over {tls}")),
            format!("logged in as {user}"),
        ];
        let separator = naming.delimiter.map_or("nothing".to_owned(), |delimiter| format!("\"{delimiter}\""));
        facts.push(format!("mailboxes are separated by {separator}, below \"{}\"", naming.prefix));
        facts.push(match self.largest() {
            Some(octets) => format!("takes messages up to {octets} octets"),
            None => "states no size limit".to_owned(),
        });
        if !self.offers("UIDPLUS") {
            facts.push("does not say where a message is filed (no UIDPLUS)".to_owned());
        }
        Ok(facts)
    }

    fn largest(&self) -> Option<u64> {
        self.capabilities().find_map(|name| name.strip_prefix("APPENDLIMIT=")?.parse().ok())
    }

    /// What the server would refuse is refused before it hears of it (RFC 7889).
    pub(super) fn check_size(&self, filing: &Filing) -> Result<(), Fault> {
        match self.largest() {
            Some(limit) if filing.size() > limit => Err(Fault::permanent(format!(
                "the message has {} octets and {} takes {limit}; nothing was sent: store it elsewhere",
                filing.size(),
                self.place
            ))),
            _ => Ok(()),
        }
    }

    /// The mailbox as an argument.
    pub(super) async fn mailbox(
        &mut self,
        mailbox: &Mailbox,
        namespace: Option<&str>,
    ) -> Result<String, Fault> {
        self.naming(namespace).await?.argument(mailbox)
    }

    async fn naming(&mut self, namespace: Option<&str>) -> Result<Naming, Fault> {
        if let Some(naming) = &self.naming {
            return Ok(naming.clone());
        }
        let mut naming = Naming::default();
        let listed = self.ask("LIST \"\" \"\"", "LIST").await?;
        // `LIST (flags) delimiter name`; NIL is an atom.
        naming.delimiter = listed.as_ref().and_then(|values| delimiter(values.get(2)?));
        if let Some(written) = namespace {
            naming.prefix = written.to_owned();
        } else if self.offers("NAMESPACE")
            && let Some(values) = self.ask("NAMESPACE", "NAMESPACE").await?
            && let Some([prefix, separator, ..]) =
                values.get(1).and_then(Value::list).and_then(<[Value]>::first).and_then(Value::list)
        {
            // `NAMESPACE ((prefix delimiter)) …`: the first personal one.
            naming.prefix = String::from_utf8_lossy(prefix.text().unwrap_or_default()).into_owned();
            naming.delimiter = delimiter(separator).or(naming.delimiter);
        }
        if self.offers("UTF8=ONLY") {
            let (status, _) = self.command("ENABLE UTF8=ACCEPT", "at ENABLE").await?;
            naming.utf8 = status.kind == Kind::Ok;
        }
        self.naming = Some(naming.clone());
        Ok(naming)
    }

    /// The first data of this name that a command is answered with; a refusal is none.
    async fn ask(&mut self, line: &str, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        let (_, data) = self.command(line, "while asking how mailboxes are named").await?;
        Ok(data.into_iter().find(|values| values.first().is_some_and(|word| word.is(name))))
    }

    /// Looks into a mailbox without changing it; `None` when it is not there. The inner one is its UIDVALIDITY.
    pub(super) async fn examine(&mut self, mailbox: &str) -> Result<Option<Option<String>>, Fault> {
        let when = "while looking for what an earlier attempt filed";
        let (tag, mut validity) = (self.begin(format!("EXAMINE {mailbox}").as_bytes(), when).await?, None);
        let status = loop {
            match self.next(when).await? {
                Response::Untagged(status) => {
                    let told = status
                        .arguments("UIDVALIDITY")
                        .and_then(|told| told.first().map(|it| (*it).to_owned()));
                    validity = told.or(validity);
                }
                Response::Tagged(own, status) if own == tag => break status,
                Response::Tagged(..) | Response::Continue(_) => {
                    return Err(self.odd("an answer to another command"));
                }
                Response::Data(_) => {}
            }
        };
        match status.kind {
            Kind::Ok => Ok(Some(validity)),
            Kind::No if status.is("NONEXISTENT") || status.is("TRYCREATE") => Ok(None),
            // Not every server says why. One that does not list it has no such mailbox.
            Kind::No if self.ask(&format!("LIST \"\" {mailbox}"), "LIST").await?.is_none() => Ok(None),
            Kind::No | Kind::Bad | Kind::Preauth | Kind::Bye => Err(self.refused(&status, when)),
        }
    }

    /// Files the message, in a mailbox that is made if it has to be. Says where it is, as far as the server does.
    pub(super) async fn append(
        &mut self,
        mailbox: &str,
        filing: &Filing,
        create: bool,
    ) -> Result<String, Fault> {
        let mut status = self.append_once(mailbox, filing).await?;
        if status.kind == Kind::No && status.is("TRYCREATE") {
            if !create {
                return Err(Fault::permanent(format!(
                    "{} has no mailbox {mailbox}, and `create = false` forbids to make it: make it, or name another",
                    self.place
                )));
            }
            self.create(mailbox).await?;
            status = self.append_once(mailbox, filing).await?;
        }
        match status.kind {
            Kind::Ok => Ok(match status.arguments("APPENDUID").as_deref() {
                Some([validity, uid]) => {
                    let number =
                        |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()) && text.len() < 20;
                    if number(validity) && number(uid) {
                        find::place(Some(validity), uid)
                    } else {
                        String::new()
                    }
                }
                _ => String::new(),
            }),
            Kind::No | Kind::Bad | Kind::Preauth | Kind::Bye => Err(self.refused(&status, "at APPEND")),
        }
    }

    async fn append_once(&mut self, mailbox: &str, filing: &Filing) -> Result<Status, Fault> {
        const WHEN: &str = "at APPEND, so whether the message was filed is not known and will be looked for";
        let size = filing.octets.len();
        let asking = size > WITHOUT_ASKING || !(self.offers("LITERAL+") || self.offers("LITERAL-"));
        let plus = if asking { "" } else { "+" };
        let command = format!("APPEND {mailbox} {}{} {{{size}{plus}}}", filing.flags, filing.internal_date());
        let tag = self.begin(command.as_bytes(), "at APPEND").await?;
        if asking && let Some(refused) = self.invited(&tag).await? {
            return Ok(refused);
        }
        for block in filing.octets.chunks(BLOCK) {
            reach("imap.literal", "send");
            let sent = self.wire.write(block, self.timeouts.block).await;
            sent.map_err(|error| self.lost(WHEN, error))?;
        }
        let sent = self.wire.write(b"\r\n", self.timeouts.block).await;
        sent.map_err(|error| self.lost(WHEN, error))?;
        reach("imap.literal", "sent");
        let (status, _) = self.end(&tag, WHEN).await?;
        reach("imap.literal", "answered");
        Ok(status)
    }

    /// Waits for leave to send the literal; a refusal instead of it is returned.
    async fn invited(&mut self, tag: &str) -> Result<Option<Status>, Fault> {
        loop {
            match self.next("at APPEND").await? {
                Response::Continue(_) => return Ok(None),
                Response::Tagged(own, status) if own == tag && status.kind != Kind::Ok => {
                    return Ok(Some(status));
                }
                Response::Tagged(..) => return Err(self.odd("success before the message was sent")),
                Response::Untagged(_) | Response::Data(_) => {}
            }
        }
    }

    async fn create(&mut self, mailbox: &str) -> Result<(), Fault> {
        let (status, _) = self.command(&format!("CREATE {mailbox}"), "at CREATE").await?;
        // Somebody may have been faster.
        if status.kind != Kind::Ok && !status.is("ALREADYEXISTS") {
            return Err(self.refused(&status, "at CREATE"));
        }
        // Many mail programs show only these. Nothing depends on it.
        let _ = self.command(&format!("SUBSCRIBE {mailbox}"), "at SUBSCRIBE").await?;
        Ok(())
    }

    /// Leaves politely; whether that works no longer matters.
    pub(super) async fn quit(mut self) {
        if !self.broken {
            let _ = self.wire.write(b"bye LOGOUT\r\n", self.timeouts.quit).await;
            while let Ok(response) = self.wire.response(self.timeouts.quit).await {
                if matches!(response, Response::Tagged(..)) {
                    break;
                }
            }
        }
    }

    pub(super) fn allow(&mut self, largest: Option<u64>) {
        self.wire.allow(largest);
    }

    /// One command without literals, and the data it is answered with.
    pub(super) async fn command(
        &mut self,
        line: &str,
        when: &'static str,
    ) -> Result<(Status, Vec<Vec<Value>>), Fault> {
        let tag = self.begin(line.as_bytes(), when).await?;
        self.end(&tag, when).await
    }

    /// Sends a command, or its beginning.
    pub(super) async fn begin(&mut self, line: &[u8], when: &'static str) -> Result<String, Fault> {
        self.commands += 1;
        let tag = format!("a{}", self.commands);
        let mut octets = zeroize::Zeroizing::new(Vec::with_capacity(line.len() + 16));
        octets.extend_from_slice(tag.as_bytes());
        octets.push(b' ');
        octets.extend_from_slice(line);
        octets.extend_from_slice(b"\r\n");
        let verb = line.split(|octet| *octet == b' ').next().unwrap_or_default();
        reach(format_args!("imap.{}", String::from_utf8_lossy(verb)), "send");
        let sent = self.wire.write(&octets, self.timeouts.command).await;
        sent.map_err(|error| self.lost(when, error))?;
        Ok(tag)
    }

    /// Sends a line within a command.
    pub(super) async fn say(&mut self, line: &[u8], when: &'static str) -> Result<(), Fault> {
        let mut octets = zeroize::Zeroizing::new(Vec::with_capacity(line.len() + 2));
        octets.extend_from_slice(line);
        octets.extend_from_slice(b"\r\n");
        let sent = self.wire.write(&octets, self.timeouts.command).await;
        sent.map_err(|error| self.lost(when, error))
    }

    async fn end(&mut self, tag: &str, when: &'static str) -> Result<(Status, Vec<Vec<Value>>), Fault> {
        let mut data = Vec::new();
        loop {
            match self.next(when).await? {
                Response::Tagged(own, status) if own == tag => return Ok((status, data)),
                Response::Tagged(..) => return Err(self.odd("an answer to another command")),
                Response::Continue(_) => return Err(self.odd("a question where there was none")),
                Response::Data(_) if data.len() >= MOST_DATA => return Err(self.odd("data without an end")),
                Response::Data(values) => data.push(values),
                Response::Untagged(_) => {}
            }
        }
    }

    /// The next response. `BYE` ends the session, whatever was asked.
    pub(super) async fn next(&mut self, when: &'static str) -> Result<Response, Fault> {
        match self.wire.response(self.timeouts.command).await {
            Ok(Response::Untagged(status)) if status.kind == Kind::Bye => {
                self.broken = true;
                Err(Fault::unavailable(format!("{} said {} {when}", self.place, status.shown())))
            }
            Ok(response) => Ok(response),
            Err(error) => Err(self.lost(when, error)),
        }
    }

    /// No response came.
    fn lost(&mut self, when: &str, error: WireError) -> Fault {
        self.broken = true;
        Fault::unavailable(format!("{} was lost {when}: {error}", self.place)).because(error)
    }

    pub(super) fn odd(&mut self, what: &str) -> Fault {
        self.broken = true;
        Fault::unavailable(format!("{} sent {what}; the server is broken", self.place))
    }

    /// A refusal, by its code (RFC 5530) and else by its kind.
    pub(super) fn refused(&self, status: &Status, when: &str) -> Fault {
        let what = format!("{} answered {} {when}", self.place, status.shown());
        let code = status.code.as_ref().map_or("", |(name, _)| name.as_str());
        match (code, status.kind) {
            ("OVERQUOTA", _) => Fault::unavailable(format!(
                "{what}; the mailbox's owner has no room left: make room there, it will be tried again"
            )),
            ("UNAVAILABLE" | "SERVERBUG" | "CONTACTADMIN" | "INUSE" | "LIMIT", _) => {
                Fault::unavailable(format!("{what}; it is unwell, and will be tried again"))
            }
            (
                "AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED" | "NOPERM",
                _,
            ) => Fault::configuration(format!("{what}; check `user`, and what it may do there")),
            ("TOOBIG" | "CANNOT" | "BADCHARSET" | "PARSE" | "TRYCREATE" | "NONEXISTENT", _)
            | (_, Kind::Bad) => Fault::permanent(format!("{what}; it will not take this message there")),
            (_, Kind::No | Kind::Ok | Kind::Preauth | Kind::Bye) => {
                Fault::temporary(format!("{what}; it will be tried again"))
            }
        }
    }
}

fn delimiter(value: &Value) -> Option<char> {
    value.text().and_then(|text| text.first()).map(|octet| char::from(*octet))
}

fn dialled(error: postroom_dial::Error) -> Fault {
    let what = format!("{error}; {}", error.hint());
    let fault = if error.needs_a_person() { Fault::configuration(what) } else { Fault::unavailable(what) };
    fault.because(error)
}

async fn protect(imap: &Imap, stream: tokio::net::TcpStream) -> Result<Stream, Fault> {
    let tls = postroom_dial::handshake(&imap.client, &imap.host, stream, imap.timeouts.handshake).await;
    let tls = tls.map_err(dialled)?;
    reach("imap.connect", "protected");
    Ok(Stream::Tls(Box::new(tls)))
}
