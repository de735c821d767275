//! Owns one SMTP session: reads commands, commits due faults, answers. Must not keep mail whose acceptance a fault
//! denies.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::data::MailData;
use super::fault::{ReceiverFault, Stage};
use super::{Accepted, ReceiverStats, Shared};
use crate::Security;
use crate::wire::Wire;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.count(|stats| stats.connections += 1);
    // Dropped also when the server stops in the midst of the session.
    let _ended = Ended { shared: Arc::clone(&shared) };
    let mut session =
        Session { wire: Wire::new(stream), shared, client: String::new(), login: None, transaction: None };
    // A connection that breaks is the client's matter; the counts show it.
    let _ = session.run().await;
}

struct Ended {
    shared: Arc<Shared>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.shared.count(|stats| stats.closed += 1);
    }
}

pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    /// What EHLO or HELO gave; empty before it.
    pub(super) client: String,
    /// Who is logged in.
    pub(super) login: Option<String>,
    pub(super) transaction: Option<Transaction>,
}

/// A mail between `MAIL` and its final dot.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    from: String,
    parameters: String,
    recipients: Vec<String>,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Command,
    End,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        if let Security::Implicit(identity) = self.shared.config.security.clone() {
            self.upgrade(&identity).await?;
        }
        match self.misbehave(Stage::Greeting).await? {
            Some(_) => {
                self.wire.close().await;
                return Ok(());
            }
            None => self.reply(220, "localhost ESMTP practice receiver").await?,
        }
        while let Some(line) = self.wire.line().await? {
            if self.command(&String::from_utf8_lossy(&line)).await? == Next::End {
                break;
            }
        }
        Ok(())
    }

    async fn command(&mut self, line: &str) -> io::Result<Next> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let stage = match verb.as_str() {
            "EHLO" | "HELO" => Some(Stage::Hello),
            "STARTTLS" => Some(Stage::StartTls),
            "AUTH" => Some(Stage::Auth),
            "MAIL" => Some(Stage::Mail),
            "RCPT" => Some(Stage::Rcpt),
            "DATA" => Some(Stage::Data),
            "QUIT" => Some(Stage::Quit),
            _ => None,
        };
        if stage == Some(Stage::Mail) {
            self.shared.count(|stats| stats.mails += 1);
        }
        if let Some(stage) = stage
            && let Some(next) = self.misbehave(stage).await?
        {
            return Ok(next);
        }
        match verb.as_str() {
            "EHLO" => self.hello(argument).await?,
            "HELO" => {
                self.client = argument.to_owned();
                self.transaction = None;
                self.reply(250, "localhost").await?;
            }
            "STARTTLS" => self.start_tls().await?,
            "AUTH" => self.authenticate(argument).await?,
            "MAIL" => self.mail(argument).await?,
            "RCPT" => self.recipient(argument).await?,
            "DATA" => return self.data().await,
            "RSET" => {
                self.transaction = None;
                self.reply(250, "2.0.0 forgotten").await?;
            }
            "NOOP" => self.reply(250, "2.0.0 nothing done").await?,
            "VRFY" => self.reply(252, "2.5.0 try and see").await?,
            "QUIT" => {
                self.reply(221, "2.0.0 bye").await?;
                self.wire.close().await;
                return Ok(Next::End);
            }
            _ => self.reply(500, "5.5.1 unknown command").await?,
        }
        Ok(Next::Command)
    }

    async fn hello(&mut self, client: &str) -> io::Result<()> {
        self.client = client.to_owned();
        self.transaction = None;
        let config = &self.shared.config;
        let mut lines = vec![
            "localhost".to_owned(),
            format!("SIZE {}", config.size_limit),
            "8BITMIME".to_owned(),
            "PIPELINING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if matches!(config.security, Security::Upgrade(_)) && !self.wire.secure() {
            lines.push("STARTTLS".to_owned());
        }
        if !config.credentials.is_empty() && self.protected() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        let last = lines.len() - 1;
        let numbered = lines.iter().enumerate();
        let text: String = numbered
            .map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' }))
            .collect();
        self.wire.write(text.as_bytes()).await
    }

    async fn mail(&mut self, argument: &str) -> io::Result<()> {
        if self.client.is_empty() {
            return self.reply(503, "5.5.1 EHLO comes first").await;
        }
        if matches!(self.shared.config.security, Security::Upgrade(_)) && !self.wire.secure() {
            return self.reply(530, "5.7.0 STARTTLS comes first").await;
        }
        if !self.shared.config.credentials.is_empty() && self.login.is_none() {
            return self.reply(530, "5.7.0 AUTH comes first").await;
        }
        if self.transaction.is_some() {
            return self.reply(503, "5.5.1 one mail at a time").await;
        }
        let Some((from, parameters)) = path(argument, "FROM:") else {
            return self.reply(501, "5.5.4 not MAIL FROM:<address>").await;
        };
        let upper = parameters.to_ascii_uppercase();
        let told =
            upper.split(' ').find_map(|parameter| parameter.strip_prefix("SIZE=")?.parse::<usize>().ok());
        if told.is_some_and(|octets| octets > self.shared.config.size_limit) {
            return self.reply(552, "5.3.4 too large").await;
        }
        self.transaction = Some(Transaction {
            from: from.to_owned(),
            parameters: parameters.to_owned(),
            recipients: Vec::new(),
        });
        self.reply(250, "2.1.0 sender ok").await
    }

    async fn recipient(&mut self, argument: &str) -> io::Result<()> {
        let Some(transaction) = &mut self.transaction else {
            return self.reply(503, "5.5.1 MAIL comes first").await;
        };
        let Some((to, _)) = path(argument, "TO:").filter(|(to, _)| !to.is_empty()) else {
            return self.reply(501, "5.5.4 not RCPT TO:<address>").await;
        };
        let refusal = self.shared.faults.take(|fault| match fault {
            ReceiverFault::RefuseRecipient { address, code } if address.eq_ignore_ascii_case(to) => {
                Some(*code)
            }
            _ => None,
        });
        match refusal {
            Some(code) => self.reply(code, &format!("{}.1.1 not this one", code / 100)).await,
            None => {
                transaction.recipients.push(to.to_owned());
                self.reply(250, "2.1.5 recipient ok").await
            }
        }
    }

    async fn data(&mut self) -> io::Result<Next> {
        let transaction = match self.transaction.take() {
            Some(transaction) if !transaction.recipients.is_empty() => transaction,
            other => {
                self.transaction = other;
                self.reply(503, "5.5.1 RCPT comes first").await?;
                return Ok(Next::Command);
            }
        };
        self.reply(354, "send it, then a dot").await?;
        let mut data = MailData::new(self.shared.config.size_limit);
        loop {
            let octets = self.wire.octets().await?;
            if octets.is_empty() {
                return Ok(Next::End);
            }
            if let Some(end) = data.feed(&octets) {
                self.wire.give_back(octets[end..].to_vec());
                break;
            }
        }
        self.message(transaction, data).await
    }

    /// The mail is here; answers for it.
    async fn message(&mut self, transaction: Transaction, data: MailData) -> io::Result<Next> {
        let bare = data.bare_line_ends();
        self.shared.count(|stats| {
            stats.transmitted += 1;
            stats.bare_line_ends += u64::from(bare);
        });
        if let Some(next) = self.misbehave(Stage::Message).await? {
            return Ok(next);
        }
        if data.too_large() {
            self.reply(552, "5.3.4 too large").await?;
            return Ok(Next::Command);
        }
        if bare && self.shared.config.strict_lines {
            self.reply(550, "5.5.2 bare CR or LF received").await?;
            return Ok(Next::Command);
        }
        let drop_after = self
            .shared
            .faults
            .take(|fault| matches!(fault, ReceiverFault::AcceptThenDrop).then_some(()))
            .is_some();
        let accepted = Accepted {
            client: self.client.clone(),
            from: transaction.from,
            recipients: transaction.recipients,
            parameters: transaction.parameters,
            octets: data.into_octets(),
            secure: self.wire.secure(),
            login: self.login.clone(),
        };
        if let Err(error) = self.shared.keep(accepted) {
            self.reply(451, &format!("4.3.0 cannot write the mail: {}", error.kind())).await?;
            return Ok(Next::Command);
        }
        if drop_after {
            return Ok(Next::End);
        }
        self.reply(250, "2.0.0 accepted").await?;
        Ok(Next::Command)
    }

    /// Commits the fault due at this stage, if any, and says how the session goes on after it.
    async fn misbehave(&mut self, stage: Stage) -> io::Result<Option<Next>> {
        let due = self.shared.faults.take(|fault| {
            (fault.at(stage) && *fault != ReceiverFault::AcceptThenDrop).then(|| fault.clone())
        });
        Ok(match due {
            None | Some(ReceiverFault::AcceptThenDrop | ReceiverFault::RefuseRecipient { .. }) => None,
            Some(ReceiverFault::Reply { code, text, .. }) => {
                self.reply(code, &text).await?;
                Some(Next::Command)
            }
            Some(ReceiverFault::Garbage(_, line)) => {
                self.wire.write(&[line.as_slice(), b"\r\n"].concat()).await?;
                Some(Next::Command)
            }
            Some(ReceiverFault::Drop(_)) => Some(Next::End),
            Some(ReceiverFault::Silent(_)) => {
                self.wire.stay_silent().await;
                Some(Next::End)
            }
        })
    }

    pub(super) async fn reply(&mut self, code: u16, text: &str) -> io::Result<()> {
        if code >= 400 {
            self.shared.count(|stats| stats.refusals += 1);
        }
        self.wire.write(format!("{code} {text}\r\n").as_bytes()).await
    }

    pub(super) async fn upgrade(&mut self, identity: &crate::Identity) -> io::Result<()> {
        let outcome = self.wire.upgrade(identity).await;
        self.shared.count(|stats| match outcome {
            Ok(()) => stats.handshakes += 1,
            Err(_) => stats.failed_handshakes += 1,
        });
        outcome
    }
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut ReceiverStats)) {
        self.stats.send_modify(change);
    }

    /// Keeps a mail in memory and, if there is a directory, first in a file.
    fn keep(&self, accepted: Accepted) -> io::Result<()> {
        let mut outcome = Ok(());
        self.stats.send_modify(|stats| {
            if let Some(directory) = &self.config.directory {
                let path = directory.join(format!("{:04}.eml", stats.accepted.len() + 1));
                outcome = std::fs::write(path, &accepted.octets);
            }
            if outcome.is_ok() {
                stats.accepted.push(accepted);
            }
        });
        outcome
    }
}

/// `FROM:<address> parameters` as address and parameters.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    let rest = rest.trim_start().strip_prefix('<').filter(|_| head.eq_ignore_ascii_case(keyword))?;
    let (address, parameters) = rest.split_once('>')?;
    Some((address, parameters.trim_start()))
}
