//! Access tokens of the accounts: from the configuration to where they come from, one source an account for as long as its
//! settings stay the same, so that a token is not renewed at every poll.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom_mail::{AccountId, Timestamp};
use postroom_oauth::{Bearer, Client, Http, Provider, Source, TokenCommand, TokenFile, Tokens};
use zeroize::Zeroizing;

use super::error::Error;
use super::session;
use crate::config::{AccountConfig, Flow, Login, OAuth, OwnOAuth};

/// How long a request to a token endpoint, or a command that prints a token, may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What one account logs in with, when that is a token.
pub(super) enum Purse {
    /// A password: there are no tokens.
    Empty,
    /// Tokens, whose they are, and the one shown last.
    Of(Tokens, Option<Box<Provider>>, Mutex<Option<Bearer>>),
}

impl Purse {
    /// A token for a login now.
    pub(super) async fn bearer(&self, now: Timestamp, fresh: bool) -> Result<Bearer, Error> {
        match self {
            Self::Of(tokens, _, shown) => {
                let bearer = tokens.bearer(system(now), fresh).await?;
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(bearer.clone());
                Ok(bearer)
            }
            Self::Empty => {
                Err(postroom_oauth::Error::Settings("this account has no `oauth2`".to_owned()).into())
            }
        }
    }

    /// A refused login, with what the token itself shows about the reason.
    pub(super) fn explain(&self, refused: postroom_pop3::Rejection, now: Timestamp) -> Error {
        let Self::Of(_, Some(provider), shown) = self else { return refused.into() };
        if !refused.bad_credentials() && refused.token.is_none() {
            return refused.into();
        }
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let claims = shown.as_ref().and_then(Bearer::claims);
        let explanation =
            claims.map(|claims| postroom_oauth::explain(&claims, provider, system(now))).unwrap_or_default();
        Error::TokenRefused { refused: Box::new(refused), explanation }
    }
}

pub(crate) fn system(now: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0))
}

/// The sources of tokens that were made so far.
#[derive(Default)]
pub struct Purses(Mutex<BTreeMap<AccountId, (OAuth, Tokens)>>);

impl Purses {
    /// That of one account.
    pub(super) async fn of(
        &self,
        id: &AccountId,
        account: &AccountConfig,
        base: &Path,
    ) -> Result<Purse, Error> {
        let Login::OAuth(oauth) = &account.login else { return Ok(Purse::Empty) };
        let provider = match oauth {
            OAuth::Own(own) => Some(Box::new(own.provider.clone())),
            OAuth::Command(_) => account.provider.as_deref().and_then(Provider::find).map(Box::new),
        };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some((of, tokens)) = known
            && of == *oauth
        {
            return Ok(Purse::Of(tokens, provider, Mutex::default()));
        }
        let tokens = Tokens::new(source(id, oauth, base).await?);
        let mut purses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purses.insert(id.clone(), (oauth.clone(), tokens.clone()));
        Ok(Purse::Of(tokens, provider, Mutex::default()))
    }
}

/// The tokens for logins that are no account's.
pub(crate) async fn tokens(id: &AccountId, oauth: &OAuth, base: &Path) -> Result<Tokens, Error> {
    Ok(Tokens::new(source(id, oauth, base).await?))
}

async fn source(id: &AccountId, oauth: &OAuth, base: &Path) -> Result<Source, Error> {
    let own = match oauth {
        OAuth::Command(command) => {
            return Ok(Source::Command(TokenCommand::new(command, base.to_owned(), LIMIT)?));
        }
        OAuth::Own(own) => own,
    };
    let (http, client) = registration(id, own, base).await?;
    let client = Arc::new(client);
    Ok(match own.flow {
        Flow::Device | Flow::Browser => Source::SignIn { http, client, file: TokenFile::at(&own.token) },
        Flow::ClientCredentials => Source::ClientCredentials { http, client },
    })
}

/// The way to the provider, and who we are there.
pub(crate) async fn registration(
    id: &AccountId,
    own: &OwnOAuth,
    base: &Path,
) -> Result<(Http, Client), Error> {
    let trust = postroom_dial::Trust { ca_file: own.ca_file.clone(), ..Default::default() };
    let tls = session::prepare(&trust).await?.config();
    let tls = rustls::ClientConfig::clone(&tls);
    let http = match &own.proxy {
        None => Http::new(tls, LIMIT)?,
        Some(proxy) => {
            let address = match proxy.host.contains(':') {
                true => format!("[{}]:{}", proxy.host, proxy.port),
                false => format!("{}:{}", proxy.host, proxy.port),
            };
            match &proxy.login {
                None => Http::through(tls, LIMIT, &address, None)?,
                Some((user, password)) => {
                    let password = session::read(password, base).await?;
                    Http::through(tls, LIMIT, &address, Some((user, password.expose())))?
                }
            }
        }
    };
    let secret = match &own.client_secret {
        Some(secret) => Some(Zeroizing::new(session::read(secret, base).await?.expose().to_owned())),
        None => None,
    };
    let client = Client::new(id.as_str(), &own.provider, &own.client_id, secret, own.tenant.as_deref())?;
    Ok((http, client))
}
