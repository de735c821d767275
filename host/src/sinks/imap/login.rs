//! Owns logging in: by SASL as POP3 does, or by LOGIN. Must not send a password or a token in the clear unless the operator
//! accepted that, or try a second mechanism after a refusal.

use postroom_mail::Timestamp;
use postroom_pop3::sasl::Conversation;
use postroom_pop3::{Capabilities, Channel, Credentials, Mechanism};
use zeroize::Zeroizing;

use super::mailbox::string;
use super::response::{Kind, Response, Status};
use super::session::{Opening, Session};
use super::{Imap, Login};
use crate::config::{Auth, TlsMode};
use crate::sinks::error::Fault;
use crate::source::{session as source, token};

impl Session {
    pub(super) async fn authenticate(
        &mut self,
        imap: &Imap,
        now: Timestamp,
        fresh: bool,
    ) -> Result<(), Opening> {
        let credentials = imap.credentials(now, fresh).await?;
        let mechanism = self.mechanism(imap, &credentials)?;
        match (mechanism, &imap.login) {
            (Mechanism::UserPass, Login::Password(password)) => {
                if !imap.user.is_ascii() || !password.expose().is_ascii() {
                    return Err(Fault::configuration(
                        "LOGIN takes only ASCII; this server offers nothing that takes the user or password of this sink",
                    )
                    .into());
                }
                let line = format!("LOGIN {} {}", string(&imap.user), string(password.expose()));
                let (status, _) = self.command(&Zeroizing::new(line), "at LOGIN").await?;
                self.logged_in(&status, imap, false)
            }
            _ => self.by_sasl(imap, mechanism, &credentials).await,
        }
    }

    /// The one that is configured, never a weaker one; else the best that is offered, by the order of POP3's.
    fn mechanism(&self, imap: &Imap, credentials: &Credentials) -> Result<Mechanism, Fault> {
        if let Auth::Only(mechanism) = imap.auth {
            return Ok(mechanism);
        }
        let mut offered = Capabilities::default();
        offered.user = !self.offers("LOGINDISABLED");
        offered.sasl =
            self.capabilities().filter_map(|name| name.strip_prefix("AUTH=")).map(str::to_owned).collect();
        let channel = match imap.tls {
            TlsMode::Implicit | TlsMode::Starttls => Channel::Tls,
            TlsMode::None => Channel::PlaintextAccepted,
        };
        let chosen = Mechanism::choose(Some(&offered), channel, credentials);
        match chosen {
            Ok(Mechanism::UserPass) if !offered.user => Err(Fault::configuration(
                "the server takes no login here that this sink has (LOGINDISABLED); check `tls` and `port`",
            )),
            Ok(mechanism) => Ok(mechanism),
            Err(error) => {
                Err(Fault::configuration(format!("{error}; check `oauth2` and `host`")).because(error))
            }
        }
    }

    async fn by_sasl(
        &mut self,
        imap: &Imap,
        mechanism: Mechanism,
        credentials: &Credentials,
    ) -> Result<(), Opening> {
        let unfit = |error: postroom_pop3::Error| {
            Fault::configuration(format!("cannot log in: {error}")).because(error)
        };
        let nonce = source::nonce().map_err(|error| Fault::temporary(error.to_string()))?;
        let mut talk = Conversation::new(mechanism, credentials, nonce).map_err(unfit)?;
        let mut line = Zeroizing::new(format!("AUTHENTICATE {}", mechanism.wire_name()).into_bytes());
        // RFC 4959 section 3: an empty initial response is "=".
        let initial = if self.offers("SASL-IR") { talk.initial() } else { None };
        if let Some(initial) = initial {
            line.push(b' ');
            line.extend_from_slice(if initial.is_empty() { b"=" } else { &initial });
        }
        let tag = self.begin(&line, "at AUTHENTICATE").await?;
        loop {
            match self.next("at AUTHENTICATE").await? {
                Response::Continue(challenge) => match talk.answer(&challenge) {
                    Ok(Some(answer)) => self.say(&answer, "at AUTHENTICATE").await?,
                    Ok(None) => return Err(self.odd("a challenge more than the mechanism has").into()),
                    Err(fault) if fault_is_the_servers(&fault) => {
                        return Err(Fault::configuration(format!("{}: {fault}", imap.place()))
                            .because(fault)
                            .into());
                    }
                    Err(fault) => {
                        self.say(b"*", "at AUTHENTICATE").await?;
                        return Err(Fault::configuration(format!("{}: {fault}", imap.place()))
                            .because(fault)
                            .into());
                    }
                },
                Response::Tagged(own, status) if own == tag => {
                    let stale = talk.refusal().is_some_and(|refusal| refusal.token_is_invalid());
                    if status.kind == Kind::Ok && !talk.complete() {
                        return Err(self.odd("success before the login was complete").into());
                    }
                    return self.logged_in(&status, imap, stale);
                }
                Response::Tagged(..) => return Err(self.odd("an answer to another command").into()),
                Response::Untagged(_) | Response::Data(_) => {}
            }
        }
    }

    fn logged_in(&mut self, status: &Status, imap: &Imap, stale: bool) -> Result<(), Opening> {
        if status.kind == Kind::Ok {
            self.forget_capabilities(status);
            return Ok(());
        }
        let what = format!("{} answered {} to the login", imap.place(), status.shown());
        if status.is("UNAVAILABLE") || status.is("INUSE") {
            return Err(Fault::unavailable(format!("{what}; it will be tried again")).into());
        }
        Err(match &imap.login {
            Login::Password(_) => {
                Fault::configuration(format!("{what}; check `user` and `password` of this sink")).into()
            }
            Login::Tokens(..) => {
                let fault = Fault::configuration(format!(
                    "{what}; check `user` and the scopes of `oauth2`, or sign in again: postroom auth {}",
                    imap.name
                ));
                let stale = stale || status.is("AUTHENTICATIONFAILED") || status.is("EXPIRED");
                if stale { Opening::StaleToken(fault) } else { Opening::Failed(fault) }
            }
        })
    }
}

/// Whoever failed to prove itself is told nothing more.
fn fault_is_the_servers(fault: &postroom_pop3::SaslFault) -> bool {
    use postroom_pop3::SaslFault as Fault;
    match fault {
        Fault::ForeignNonce | Fault::WrongSignature | Fault::Unproven => true,
        Fault::NotBase64 | Fault::Malformed | Fault::Iterations { .. } | Fault::ServerError { .. } => false,
    }
}

impl Imap {
    async fn credentials(&self, now: Timestamp, fresh: bool) -> Result<Credentials, Fault> {
        let made = match &self.login {
            Login::Password(password) => Credentials::new(&self.user, password.expose()),
            Login::Tokens(oauth, tokens) => {
                let made = tokens.get_or_try_init(|| token::tokens(&self.name, oauth, &self.base)).await;
                let tokens = made.map_err(|error| Fault::configuration(format!("`oauth2`: {error}")))?;
                let bearer = tokens.bearer(token::system(now), fresh).await.map_err(|error| {
                    let what = format!("no access token: {error}");
                    let fault = if error.is_transient() {
                        Fault::unavailable(what)
                    } else {
                        Fault::configuration(what)
                    };
                    fault.because(error)
                })?;
                Credentials::bearer(&self.user, bearer.expose())
                    .and_then(|credentials| credentials.at(&self.host, self.port))
            }
        };
        made.map_err(|error| Fault::configuration(format!("cannot log in: {error}")).because(error))
    }
}
