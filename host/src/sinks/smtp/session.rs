//! Owns the order of an SMTP session (RFC 5321 section 3) and what each refusal in it means. Must not send mail octets
//! before every recipient was accepted, and must know to the octet when the final dot has left.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_failpoint::reach;
use postroom_mail::{Address, Envelope};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::Sending;
use super::super::error::{Fault, quoted};
use super::outgoing::Outgoing;
use super::wire::{Reply, Stream, Wire, WireError};
use super::{Dialect, Endpoint, Login, Security, Server, Timeouts, Trust};

/// An open session, protected and logged in as configured.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    dialect: Dialect,
    place: String,
    greeting: String,
    offers: Offers,
    login: Option<String>,
    /// Between `DATA` and the answer to the message: a command would be taken for a line of it.
    in_mail: bool,
    timeouts: Timeouts,
}

/// What the server offered in its last EHLO reply.
#[derive(Debug, Default)]
struct Offers {
    /// SIZE (RFC 1870): the largest message; `None` when it states none.
    size: Option<u64>,
    eight_bit: bool,
    utf8: bool,
    start_tls: bool,
    plain: bool,
    login: bool,
}

/// Checked paths of one transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    from: String,
    /// Whether the operator, not the effect, named the reverse-path.
    own_from: bool,
    to: Vec<String>,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Hello,
    StartTls,
    Auth,
    /// With a reverse-path of the operator's.
    MailOwn,
    /// With one of the effect's.
    Mail,
    Data,
    /// The final dot was sent.
    Message,
}

impl Transaction {
    pub(super) fn new(envelope: &Envelope, own: Option<&Address>) -> Result<Self, Fault> {
        let from = envelope.from.as_ref().or(own);
        let from = from.map(path).transpose()?.unwrap_or_default();
        let to = envelope.to.iter().map(path).collect::<Result<Vec<_>, Fault>>()?;
        if to.is_empty() {
            return Err(Fault::permanent("the effect names no recipient; nothing was sent"));
        }
        Ok(Self { from, own_from: envelope.from.is_none(), to })
    }

    fn utf8(&self) -> bool {
        !self.from.is_ascii() || !self.to.iter().all(|to| to.is_ascii())
    }
}

/// The last look before an address becomes part of a command.
fn path(address: &Address) -> Result<String, Fault> {
    let text = address.as_str();
    let wrong = |octet: u8| octet < 0x20 || matches!(octet, 0x7F | b'<' | b'>');
    if text.is_empty() || text.bytes().any(wrong) {
        return Err(Fault::permanent(format!(
            "{} cannot be an address in SMTP; nothing was sent",
            quoted(text)
        )));
    }
    Ok(text.to_owned())
}

impl Session {
    /// Connects, greets, protects and logs in.
    pub(super) async fn open(server: &Server) -> Result<Self, Fault> {
        let place = server.place();
        let timeouts = server.timeouts;
        reach("smtp.connect", "begun");
        let stream = match timeout(timeouts.connect, connect(&server.endpoint)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let what = format!("cannot connect to {place}: {error}; the server or the network is down");
                return Err(Fault::unavailable(what).because(error));
            }
            Err(_) => {
                return Err(Fault::unavailable(format!(
                    "{place} does not answer; the server or the network is down"
                )));
            }
        };
        reach("smtp.connect", "connected");
        let wire = Wire::new(stream);
        let wire = match &server.security {
            Security::Implicit(trust) => protect(wire, trust, &place, timeouts).await?,
            Security::StartTls(_) | Security::None => wire,
        };
        let mut session = Self {
            wire,
            dialect: server.dialect,
            place,
            greeting: String::new(),
            offers: Offers::default(),
            login: None,
            in_mail: false,
            timeouts,
        };
        session.greet().await?;
        let hello = match &server.hello {
            Some(hello) => hello.clone(),
            None => session.literal(),
        };
        session.hello(&hello).await?;
        if let Security::StartTls(trust) = &server.security {
            session = session.start_tls(trust).await?;
            session.hello(&hello).await?;
        }
        if let Some(login) = &server.login {
            session.authenticate(login).await?;
        }
        Ok(session)
    }

    /// Sends one message to all recipients, or to none; says what the server answered.
    pub(super) async fn send(
        &mut self,
        transaction: &Transaction,
        mail: &Outgoing,
        sending: &Sending<'_>,
    ) -> Result<String, Fault> {
        let parameters = self.parameters(transaction, mail)?;
        let stage = if transaction.own_from { Stage::MailOwn } else { Stage::Mail };
        let command = format!("MAIL FROM:<{}>{parameters}", transaction.from);
        self.command(stage, &command).await?;
        self.recipients(transaction).await?;
        let reply = self.exchange(Stage::Data, "DATA", self.timeouts.data).await?;
        if reply.code != 354 {
            return Err(self.refused(Stage::Data, &reply));
        }
        self.transmit(mail, sending).await?;
        self.verdict(transaction).await
    }

    /// Leaves politely; whether that works no longer matters. In the midst of a message it just hangs up.
    pub(super) async fn quit(mut self) {
        if self.in_mail {
            return;
        }
        let _ = self.wire.command("QUIT", self.timeouts.quit).await;
    }

    /// What was found, in words.
    pub(super) fn facts(&self) -> Vec<String> {
        let mut facts = vec![match self.wire.protection() {
            Some(protection) => format!("{} answers over {protection} as {}", self.place, self.greeting),
            None if self.wire.is_local() => format!("{} answers as {}", self.place, self.greeting),
            None => format!("{} answers WITHOUT TLS as {}", self.place, self.greeting),
        }];
        facts.push(match self.offers.size {
            Some(octets) => format!("takes messages up to {octets} octets"),
            None => "states no size limit".to_owned(),
        });
        facts.push(match self.offers.eight_bit {
            true => "offers 8BITMIME".to_owned(),
            false => "does not offer 8BITMIME: messages with 8-bit content will be parked".to_owned(),
        });
        facts.extend(self.login.as_ref().map(|user| format!("logged in as {user}")));
        facts
    }

    async fn greet(&mut self) -> Result<(), Fault> {
        let reply = self.wire.reply(self.timeouts.greeting).await;
        let reply = reply.map_err(|error| self.lost(Stage::Greeting, error))?;
        reach("smtp.connect", "greeted");
        if reply.code != 220 {
            return Err(self.refused(Stage::Greeting, &reply));
        }
        self.greeting = quoted(reply.lines.first().map_or("", String::as_str));
        Ok(())
    }

    async fn hello(&mut self, hello: &str) -> Result<(), Fault> {
        let reply = self.command(Stage::Hello, &format!("{} {hello}", self.dialect.hello())).await?;
        self.offers = Offers::read(&reply);
        Ok(())
    }

    async fn start_tls(mut self, trust: &Trust) -> Result<Self, Fault> {
        if !self.offers.start_tls {
            return Err(Fault::configuration(format!(
                "{} does not offer STARTTLS, so nothing was sent; somebody on the way may have removed it, or this \
                 port wants `tls = \"implicit\"`",
                self.place
            )));
        }
        self.command(Stage::StartTls, "STARTTLS").await?;
        let wire = protect(self.wire, trust, &self.place, self.timeouts).await?;
        Ok(Self { wire, offers: Offers::default(), ..self })
    }

    async fn authenticate(&mut self, login: &Login) -> Result<(), Fault> {
        if self.offers.plain {
            let response = Zeroizing::new(format!("\0{}\0{}", login.user, login.password.expose()));
            let response = Zeroizing::new(BASE64_STANDARD.encode(response.as_bytes()));
            self.command(Stage::Auth, &Zeroizing::new(format!("AUTH PLAIN {}", *response))).await?;
        } else if self.offers.login {
            self.challenge("AUTH LOGIN").await?;
            self.challenge(&BASE64_STANDARD.encode(&login.user)).await?;
            let password = Zeroizing::new(BASE64_STANDARD.encode(login.password.expose()));
            self.command(Stage::Auth, &password).await?;
        } else {
            return Err(Fault::configuration(format!(
                "{} offers neither AUTH PLAIN nor AUTH LOGIN here; remove `user` and `password` if it wants no login, \
                 or use its submission port",
                self.place
            )));
        }
        self.login = Some(login.user.clone());
        Ok(())
    }

    async fn challenge(&mut self, line: &str) -> Result<(), Fault> {
        let reply = self.exchange(Stage::Auth, line, self.timeouts.command).await?;
        if reply.code == 334 { Ok(()) } else { Err(self.refused(Stage::Auth, &reply)) }
    }

    /// Parameters of `MAIL`, or why the server cannot take this message. Decided before it is told of it.
    fn parameters(&self, transaction: &Transaction, mail: &Outgoing) -> Result<String, Fault> {
        let mut parameters = String::new();
        if let Some(limit) = self.offers.size {
            if limit > 0 && mail.size() > limit {
                return Err(Fault::permanent(format!(
                    "the message has {} octets and {} takes {limit}; nothing was sent: send it another way",
                    mail.size(),
                    self.place
                )));
            }
            parameters.push_str(&format!(" SIZE={}", mail.size()));
        }
        if mail.eight_bit() {
            if !self.offers.eight_bit {
                return Err(Fault::permanent(format!(
                    "the message has 8-bit content and {} does not offer 8BITMIME (RFC 6152); re-encoding would break \
                     signatures, so nothing was sent: use another server, or forward it as an attachment",
                    self.place
                )));
            }
            parameters.push_str(" BODY=8BITMIME");
        }
        if transaction.utf8() {
            if !self.offers.utf8 {
                return Err(Fault::permanent(format!(
                    "an address is not ASCII and {} does not offer SMTPUTF8 (RFC 6531); nothing was sent",
                    self.place
                )));
            }
            parameters.push_str(" SMTPUTF8");
        }
        Ok(parameters)
    }

    /// Names all recipients. If one is refused the transaction is given up before any mail octet is sent, so that
    /// trying again never gives a second copy to those who were accepted.
    async fn recipients(&mut self, transaction: &Transaction) -> Result<(), Fault> {
        let mut refused = Vec::new();
        let mut codes = Vec::new();
        for to in &transaction.to {
            let reply = self
                .wire
                .command(&format!("RCPT TO:<{to}>"), self.timeouts.command)
                .await
                .map_err(|error| self.lost(Stage::Data, error))?;
            if !(200..300).contains(&reply.code) {
                refused.push(format!("{} with {}", quoted(to), reply.shown()));
                codes.push(reply.code);
            }
            if reply.code == 421 {
                break;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let _ = self.wire.command("RSET", self.timeouts.quit).await;
        let what = format!(
            "{} refused {} of {} recipients: {}; nothing was sent to anybody",
            self.place,
            refused.len(),
            transaction.to.len(),
            refused.join(", ")
        );
        Err(if codes.iter().any(|code| matches!(code, 530 | 535 | 538)) {
            Fault::configuration(format!("{what}; the server wants a login: give `user` and `password`"))
        } else if codes.iter().any(|code| *code >= 500) {
            Fault::permanent(format!("{what}; correct the recipients in the step's settings"))
        } else if codes.contains(&421) {
            Fault::unavailable(what)
        } else {
            Fault::temporary(what)
        })
    }

    /// Sends the octets and the final dot. From the first octet of the dot on, silence means doubt; that this moment has
    /// come is recorded before it, so that a crash means doubt too.
    async fn transmit(&mut self, mail: &Outgoing, sending: &Sending<'_>) -> Result<(), Fault> {
        self.in_mail = true;
        for block in mail.blocks() {
            reach("smtp.body", "send");
            let sent = self.wire.write(&block, self.timeouts.block).await;
            sent.map_err(|error| self.lost(Stage::Data, error))?;
        }
        sending().await.map_err(|error| {
            Fault::temporary(format!(
                "that the message is about to be handed to {} could not be recorded, so it was not: {error}",
                self.place
            ))
            .because(error)
        })?;
        reach("smtp.dot", "send");
        let dot = self.wire.write(b".\r\n", self.timeouts.block).await;
        dot.map_err(|error| self.lost(Stage::Message, error))?;
        reach("smtp.dot", "sent");
        Ok(())
    }

    /// What became of the message: one answer, or with LMTP one for each recipient, in their order.
    async fn verdict(&mut self, transaction: &Transaction) -> Result<String, Fault> {
        let answers = match self.dialect {
            Dialect::Smtp => 1,
            Dialect::Lmtp => transaction.to.len(),
        };
        let mut replies = Vec::with_capacity(answers);
        for _ in 0..answers {
            let reply = self.wire.reply(self.timeouts.dot).await;
            replies.push(reply.map_err(|error| self.lost(Stage::Message, error))?);
        }
        reach("smtp.dot", "answered");
        self.in_mail = false;
        let refused: Vec<_> = replies.iter().filter(|reply| !(200..300).contains(&reply.code)).collect();
        match refused.as_slice() {
            [] => Ok(replies.iter().map(Reply::shown).collect::<Vec<_>>().join(", ")),
            [first, ..] if refused.len() == replies.len() => {
                // The one that will not pass decides.
                let worst = refused.iter().find(|reply| reply.code >= 500).unwrap_or(first);
                Err(self.refused(Stage::Message, worst))
            }
            _ => Err(self.half_delivered(transaction, &replies)),
        }
    }

    /// Only an effect that was planned for several recipients of LMTP comes here: nothing could be tried again for some.
    fn half_delivered(&self, transaction: &Transaction, replies: &[Reply]) -> Fault {
        let outcomes = transaction.to.iter().zip(replies);
        let told: Vec<_> = outcomes.map(|(to, reply)| format!("{}: {}", quoted(to), reply.shown())).collect();
        Fault::permanent(format!(
            "{} delivered to some recipients only: {}; trying again would give the others a second copy",
            self.place,
            told.join(", ")
        ))
    }

    /// A command that must be answered with 2xx.
    async fn command(&mut self, stage: Stage, line: &str) -> Result<Reply, Fault> {
        let reply = self.exchange(stage, line, self.timeouts.command).await?;
        match reply.code {
            200..300 => Ok(reply),
            _ => Err(self.refused(stage, &reply)),
        }
    }

    async fn exchange(
        &mut self,
        stage: Stage,
        line: &str,
        limit: std::time::Duration,
    ) -> Result<Reply, Fault> {
        self.wire.command(line, limit).await.map_err(|error| self.lost(stage, error))
    }

    /// No reply came.
    fn lost(&self, stage: Stage, error: WireError) -> Fault {
        let place = &self.place;
        match stage {
            Stage::Message => Fault::in_doubt(format!(
                "{place} was given the whole message and did not say whether it took it: {error}; it may have been \
                 delivered, and trying again may make a second copy"
            )),
            Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth | Stage::Mail | Stage::MailOwn | Stage::Data => {
                Fault::unavailable(format!("{place} was lost {}: {error}; nothing was delivered", stage.when(self.dialect)))
            }
        }
        .because(error)
    }

    /// A reply that is not the wanted one. 4xx passes by itself (RFC 5321 section 4.2.1); 5xx is the fault of the
    /// configuration up to the login, and of the message after it.
    fn refused(&self, stage: Stage, reply: &Reply) -> Fault {
        let what = format!("{} answered {} {}", self.place, reply.shown(), stage.when(self.dialect));
        match (reply.code, stage) {
            (530 | 535 | 538, _) => {
                Fault::configuration(format!("{what}; `user` or `password` of this sink is wrong or missing"))
            }
            (500.., Stage::Greeting | Stage::Hello) => Fault::configuration(format!(
                "{what}; it does not serve this host: check `host`, `port` and `hello`"
            )),
            (500.., Stage::StartTls) => {
                Fault::configuration(format!("{what}; it will not protect the connection"))
            }
            (500.., Stage::Auth) => Fault::configuration(format!("{what}; check `user` and `password`")),
            (552, _) => {
                Fault::permanent(format!("{what}; the message is too large for it, or the mailbox is full"))
            }
            (500.., Stage::MailOwn) => Fault::configuration(format!(
                "{what}; it does not take the sender: check `from` of this sink"
            )),
            (500.., Stage::Mail | Stage::Data | Stage::Message) => {
                Fault::permanent(format!("{what}; it will not take this message"))
            }
            // Whoever answers 421 takes nothing from anybody at the moment.
            (400..421 | 422..500, Stage::Mail | Stage::MailOwn | Stage::Data | Stage::Message) => {
                Fault::temporary(format!("{what}; it will be tried again"))
            }
            (400..500, _) => Fault::unavailable(format!("{what}; it will be tried again")),
            (_, Stage::Message) => Fault::in_doubt(format!(
                "{what}, which says neither yes nor no; trying again may make a second copy"
            )),
            _ => Fault::unavailable(format!("{what}, which is not an answer to that; the server is broken")),
        }
    }

    /// The own address as RFC 5321 section 4.1.3 wants it.
    fn literal(&self) -> String {
        match self.wire.local().map(|local| local.ip()) {
            Some(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
            Some(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            None => "[127.0.0.1]".to_owned(),
        }
    }
}

impl Dialect {
    fn hello(self) -> &'static str {
        match self {
            Self::Smtp => "EHLO",
            Self::Lmtp => "LHLO",
        }
    }
}

impl Stage {
    fn when(self, dialect: Dialect) -> &'static str {
        match self {
            Self::Greeting => "instead of a greeting",
            Self::Hello => match dialect {
                Dialect::Smtp => "at EHLO",
                Dialect::Lmtp => "at LHLO",
            },
            Self::StartTls => "at STARTTLS",
            Self::Auth => "at AUTH",
            Self::Mail | Self::MailOwn => "at MAIL",
            Self::Data => "before the end of the message",
            Self::Message => "after the message",
        }
    }
}

impl Offers {
    fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or("").to_ascii_uppercase();
            match keyword.as_str() {
                "SIZE" => {
                    offers.size = Some(words.next().and_then(|octets| octets.parse().ok()).unwrap_or(0))
                }
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.utf8 = true,
                "STARTTLS" => offers.start_tls = true,
                "AUTH" => {
                    for mechanism in words {
                        offers.plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offers.login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

async fn connect(endpoint: &Endpoint) -> std::io::Result<Stream> {
    match endpoint {
        Endpoint::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            // The final dot must not wait for an acknowledgement of what came before it.
            let _ = stream.set_nodelay(true);
            Ok(Stream::Plain(stream))
        }
        Endpoint::Socket(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

/// Puts TLS on the connection. What the certificate check says is for the operator; a cut connection passes.
async fn protect(wire: Wire, trust: &Trust, place: &str, timeouts: Timeouts) -> Result<Wire, Fault> {
    let limit = timeouts.connect;
    wire.protect(trust.config.clone(), trust.name.clone(), limit).await.map_err(|error| match &error {
        WireError::NotSmtp(_) => Fault::configuration(format!(
            "{place} sent more in the clear after its answer to STARTTLS, which is an attack or a broken server; \
             nothing was sent"
        ))
        .because(error),
        WireError::Io(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Fault::configuration(format!(
                "TLS with {place} failed: {error}; check `host`, `port`, `tls` and `ca_file`, or renew the server's \
                 certificate"
            ))
            .because(error)
        }
        WireError::Io(_) | WireError::Closed | WireError::Timeout(_) => {
            Fault::unavailable(format!("TLS with {place} was cut short: {error}")).because(error)
        }
    })
}
