//! Owns the access token of one account between polls: kept until shortly before it ends, renewed once for all who ask,
//! made durable before it is handed out. Must not be told the time by anybody but its caller.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, OwnedMutexGuard};
use zeroize::Zeroizing;

use crate::claims::Claims;
use crate::client::Client;
use crate::error::Error;
use crate::file::{Stored, TokenFile};
use crate::flow::{self, TokenCommand};
use crate::grant::{Grant, unix};
use crate::http::Http;

/// The longest time before its end that a token is renewed.
const LONGEST_MARGIN: u64 = 5 * 60;
/// The least time between two renewals because a server refused the token: more often, it is not the token's age.
const FORCED_APART: u64 = 60;
/// How long the server is left alone after the first failure; doubled with each further one.
const FIRST_PAUSE: u64 = 30;
/// The longest pause, and the one after a refusal that somebody has to mend.
const LONGEST_PAUSE: u64 = 15 * 60;

/// Where the tokens of an account come from.
#[derive(Debug)]
pub enum Source {
    /// A user signed in; the refresh token is in the file.
    SignIn {
        /// The way to the server.
        http: Http,
        /// Who we are there.
        client: Arc<Client>,
        /// Where the tokens are kept.
        file: TokenFile,
    },
    /// The client itself may read the mailbox (RFC 6749 section 4.4). Nothing is kept on disk.
    ClientCredentials {
        /// The way to the server.
        http: Http,
        /// Who we are there.
        client: Arc<Client>,
    },
    /// A program prints them. Nothing is kept on disk.
    Command(TokenCommand),
}

/// An access token, good for a login now. Shows nothing of it.
#[derive(Clone)]
pub struct Bearer {
    token: Arc<Zeroizing<String>>,
    expires_at: u64,
}

/// The tokens of one account. Cheap to clone; clones share the token and the renewal.
#[derive(Clone)]
pub struct Tokens {
    source: Arc<Source>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// A renewed token that could not be written. It is not handed out, but it must not be lost either: the one it
    /// replaces is spent.
    unsaved: Option<Unsaved>,
    /// The refresh token the server would not take, with its words.
    refused: Option<(Zeroizing<String>, String)>,
    forced_at: Option<u64>,
    pause: Option<Pause>,
}

struct Held {
    bearer: Bearer,
    obtained_at: u64,
}

struct Unsaved {
    replaces: Zeroizing<String>,
    stored: Stored,
}

struct Pause {
    until: u64,
    step: u64,
    last: String,
    transient: bool,
}

impl Tokens {
    /// The tokens of this source; asks nobody yet.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source: Arc::new(source), state: Arc::default() }
    }

    /// A token for a login at `now`. Usually the one at hand: it is renewed only within min(5 min, 10 % of its
    /// lifetime) of its end, or with `force`, which is for after a server refused it as invalid, and is heeded at most
    /// once a minute. Whoever asks while a renewal is under way waits for that one. If the server is away, the token at
    /// hand is given until it really ends. A renewal runs to its end even if the caller is dropped.
    ///
    /// # Errors
    /// [`Error::is_transient`] tells whether the next poll may simply ask again (the server is left alone for 30 s and
    /// then longer, without the caller's doing); [`Error::needs_sign_in`] whether the user has to act.
    pub async fn bearer(&self, now: SystemTime, force: bool) -> Result<Bearer, Error> {
        let now = unix(now);
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let force = force && state.forced_at.is_none_or(|at| now.abs_diff(at) >= FORCED_APART);
        if let Some(held) = &state.held
            && !force
            && held.fresh(now)
        {
            return Ok(held.bearer.clone());
        }
        if let Some(pause) = &state.pause
            && now < pause.until
            // A clock set back must not make it longer.
            && pause.until - now <= LONGEST_PAUSE.max(pause.step)
        {
            return match &state.held {
                Some(held) if !force && held.valid(now) => Ok(held.bearer.clone()),
                _ => Err(Error::Waiting {
                    wait: Duration::from_secs(pause.until - now),
                    last: pause.last.clone(),
                    transient: pause.transient,
                }),
            };
        }
        if force {
            state.forced_at = Some(now);
        }
        // A task of its own: once the server has spent the old refresh token, the new one has to reach the disk.
        let renewal = tokio::spawn(renew(Arc::clone(&self.source), state, now, force));
        match renewal.await {
            Ok(result) => result,
            Err(_) => Err(Error::Settings("the renewal was stopped: Postroom is ending".into())),
        }
    }
}

async fn renew(
    source: Arc<Source>,
    mut state: OwnedMutexGuard<State>,
    now: u64,
    force: bool,
) -> Result<Bearer, Error> {
    let renewed = match &*source {
        Source::SignIn { http, client, file } => {
            renew_sign_in(http, client, file, &mut state, now, force).await
        }
        Source::ClientCredentials { http, client } => {
            flow::client_credentials(http, client).await.map(|grant| Held::from_grant(grant, now))
        }
        Source::Command(command) => command.run().await.map(|grant| Held::from_grant(grant, now)),
    };
    match renewed {
        Ok(held) => {
            let bearer = held.bearer.clone();
            state.held = Some(held);
            state.pause = None;
            Ok(bearer)
        }
        Err(error) => {
            state.pause_after(&error, now);
            match &state.held {
                Some(held) if !force && held.valid(now) && error.is_transient() => Ok(held.bearer.clone()),
                _ => Err(error),
            }
        }
    }
}

async fn renew_sign_in(
    http: &Http,
    client: &Arc<Client>,
    file: &TokenFile,
    state: &mut State,
    now: u64,
    force: bool,
) -> Result<Held, Error> {
    let (lock, mut stored) = {
        let (file, client) = (file.clone(), Arc::clone(client));
        blocking(move || {
            // Before the lock, so that a directory that is not there reads as "not signed in".
            file.read(&client)?;
            let lock = file.lock()?;
            let stored = file.read(&client)?;
            Ok((lock, stored))
        })
        .await?
    };
    if let Some(unsaved) = state.unsaved.take()
        // Otherwise somebody has signed in anew, or another process got further.
        && unsaved.replaces == stored.refresh_token
    {
        if let Err(error) = lock.prepare().and_then(|prepared| prepared.write(&unsaved.stored)) {
            state.unsaved = Some(unsaved);
            return Err(error);
        }
        stored = unsaved.stored;
    }
    let kept = Held::from_stored(&stored);
    let another = state.held.as_ref().is_some_and(|held| *held.bearer.token != *kept.bearer.token);
    if kept.fresh(now) && (another || !force) {
        return Ok(kept);
    }
    if let Some((token, said)) = &state.refused
        && *token == stored.refresh_token
    {
        return Err(Error::SignInExpired { account: client.account.clone(), said: said.clone() });
    }
    if kept.valid(now) && !force {
        // Also after a restart the token at hand is good until it ends, should the server be away now.
        state.held = Some(kept);
    }
    let prepared = lock.prepare()?;
    let grant = match flow::refresh(http, client, &stored.refresh_token).await {
        Ok(grant) => grant,
        Err(error) => {
            if let Error::SignInExpired { said, .. } = &error {
                state.refused = Some((stored.refresh_token.clone(), said.clone()));
            }
            return Err(error);
        }
    };
    let renewed = stored.refreshed(&grant, time(now));
    let held = Held::from_stored(&renewed);
    let (replaces, copy) = (stored.refresh_token.clone(), renewed.clone());
    // The lock goes along and is let go only when the file is durable.
    let written = blocking(move || {
        let written = prepared.write(&copy);
        drop(lock);
        written
    });
    if let Err(error) = written.await {
        state.unsaved = Some(Unsaved { replaces, stored: renewed });
        return Err(error);
    }
    Ok(held)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Settings("the token file was not reached: Postroom is ending".into())),
    }
}

impl State {
    fn pause_after(&mut self, error: &Error, now: u64) {
        let transient = error.is_transient();
        // A new sign-in ends these at once, and asking again costs no more than reading the file.
        if error.needs_sign_in() || matches!(error, Error::Unsafe { .. } | Error::File { .. }) {
            self.pause = None;
            return;
        }
        let step = match (&self.pause, transient) {
            (_, false) => LONGEST_PAUSE,
            (None, true) => FIRST_PAUSE,
            (Some(pause), true) => (pause.step * 2).min(LONGEST_PAUSE),
        };
        let asked = match error {
            Error::Unavailable { retry_after: Some(asked), .. } => asked.as_secs(),
            _ => 0,
        };
        let step = step.max(asked);
        self.pause = Some(Pause { until: now + step, step, last: error.to_string(), transient });
    }
}

impl Held {
    fn from_grant(grant: Grant, now: u64) -> Self {
        let expires_at = grant.expires_at(time(now));
        Self { bearer: Bearer { token: Arc::new(grant.access_token), expires_at }, obtained_at: now }
    }

    fn from_stored(stored: &Stored) -> Self {
        Self {
            bearer: Bearer { token: Arc::new(stored.access_token.clone()), expires_at: stored.expires_at },
            obtained_at: stored.obtained_at,
        }
    }

    fn valid(&self, now: u64) -> bool {
        now < self.bearer.expires_at
    }

    fn fresh(&self, now: u64) -> bool {
        let lifetime = self.bearer.expires_at.saturating_sub(self.obtained_at);
        now.saturating_add(LONGEST_MARGIN.min(lifetime / 10)) < self.bearer.expires_at
    }
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Bearer {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.token
    }

    /// When it ends, as far as is known.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        time(self.expires_at)
    }

    /// What it says of itself, for [`crate::explain`]; `None` for opaque tokens.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        Claims::read(&self.token)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("source", &self.source).finish_non_exhaustive()
    }
}
