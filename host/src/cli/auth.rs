//! `postroom auth ACCOUNT`: signs an account in, once, and keeps what came of it. What a person has to read goes to standard
//! error, so that standard output is the result. Must not show a token or a secret.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom_mail::rules::neutral;
use postroom_mail::{AccountId, Timestamp};
use postroom_oauth::{
    Bearer, Claims, Client, CodeFlow, DeviceFlow, Error, Grant, Http, Provider, Source, TokenCommand,
    TokenFile, Tokens,
};
use serde::Serialize;

use super::output::{self, moment};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, account};
use crate::config::{AccountConfig, Config, Flow, Login, OAuth, OwnOAuth};
use crate::source::token::registration;

/// Arguments of `auth`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account's name in the configuration, or an IMAP sink's.
    account: String,
    /// Sign in with a browser on this machine, whatever `flow` says.
    #[arg(long, conflicts_with_all = ["device", "status"])]
    browser: bool,
    /// Sign in by typing a code on any device, whatever `flow` says.
    #[arg(long, conflicts_with = "status")]
    device: bool,
    /// Only show what is kept; asks nobody.
    #[arg(long)]
    status: bool,
}

/// How long somebody may take to come back from the browser.
const BROWSER: Duration = Duration::from_secs(10 * 60);
/// How long a program may take to print a token.
const COMMAND: Duration = Duration::from_secs(30);

/// The answer for programs.
#[derive(Serialize)]
struct Document {
    account: String,
    /// `device`, `browser`, `client-credentials` or `command`.
    flow: &'static str,
    /// Where the tokens are kept; none where they are fetched each time.
    file: Option<String>,
    /// What was granted, where that is known.
    scope: Option<String>,
    /// When the access token ends.
    expires: Option<String>,
    expired: bool,
    /// Whether the next token comes without anybody's doing.
    renews_itself: bool,
    /// What is wrong with it, as far as the token shows.
    problems: Vec<String>,
    /// What to do now.
    next: String,
}

pub(super) fn auth(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    if let Some((id, oauth)) = of_sink(&config, &args.account) {
        return told(context, Signer { id, settings: None, base: &config.base }, oauth, args);
    }
    let (id, settings) = account::find(&config, &args.account)?;
    let Login::OAuth(oauth) = &settings.login else {
        let text = format!("account {id} logs in with a password: there is nothing to sign in");
        let hint = format!(
            "`postroom probe {id}` tries the password; for tokens, give `oauth2` in place of `password`"
        );
        return Err(Failure::usage(anyhow::anyhow!(text)).hint(hint));
    };
    told(context, Signer { id, settings: Some(settings), base: &config.base }, oauth, args)
}

/// A sink that logs in with tokens. An account of the same name comes first.
fn of_sink<'c>(config: &'c Config, name: &str) -> Option<(&'c AccountId, &'c OAuth)> {
    let (id, sink) = config.sinks.iter().find(|(id, _)| id.as_str() == name)?;
    let oauth = sink.tokens().filter(|_| !config.accounts.contains_key(id))?;
    Some((id, oauth))
}

fn told(context: &Context, signer: Signer<'_>, oauth: &OAuth, args: &Args) -> Outcome {
    let document = setup::runtime()?.block_on(signer.carry_out(oauth, args))?;
    if context.json {
        output::json(&document)?;
    } else {
        print(&document);
    }
    Ok(Exit::Ok)
}

/// One account, or sink, to sign in.
struct Signer<'a> {
    id: &'a AccountId,
    /// None of a sink.
    settings: Option<&'a AccountConfig>,
    base: &'a Path,
}

impl Signer<'_> {
    async fn carry_out(&self, oauth: &OAuth, args: &Args) -> Result<Document, Failure> {
        let asked = args.browser || args.device;
        match oauth {
            OAuth::Command(_) if asked => Err(self.nobody("a command")),
            OAuth::Command(_) if args.status => Err(self.nothing_kept("a command prints them")),
            OAuth::Command(command) => self.by_command(command).await,
            OAuth::Own(own) if own.flow == Flow::ClientCredentials => match (asked, args.status) {
                (true, _) => Err(self.nobody("client credentials")),
                (false, true) => Err(self.nothing_kept("the client fetches them for itself")),
                (false, false) => self.by_client_credentials(own).await,
            },
            OAuth::Own(own) if args.status => self.kept(own, None),
            OAuth::Own(own) => self.sign_in(own, flow(own.flow, args)).await,
        }
    }

    /// Asks a person, keeps what comes of it.
    async fn sign_in(&self, own: &OwnOAuth, flow: Flow) -> Result<Document, Failure> {
        let (http, client) = self.registration(own).await?;
        // Before anybody signs in: a sign-in that cannot be kept is lost.
        writable(&own.token)?;
        let granted = match flow {
            Flow::Browser => self.by_browser(&http, &client).await,
            Flow::Device | Flow::ClientCredentials => self.by_device(&http, &client).await,
        };
        let grant = granted.map_err(|error| self.failed(error))?;
        TokenFile::at(&own.token)
            .keep(&grant, &client, SystemTime::now())
            .map_err(|error| self.failed(error))?;
        self.kept(own, Some(&grant))
    }

    async fn by_browser(&self, http: &Http, client: &Client) -> Result<Grant, Error> {
        let flow = CodeFlow::begin(client).await?;
        eprintln!(
            "Open this address in a browser on this machine and sign in as the owner of account {}:\n\n  {}\n",
            self.id,
            neutral(flow.url(), 4000)
        );
        let bar = account::spinner("waiting for the browser to come back, 10 min at most");
        let grant = flow.wait(http, BROWSER).await;
        bar.finish_and_clear();
        grant
    }

    async fn by_device(&self, http: &Http, client: &Client) -> Result<Grant, Error> {
        let flow = DeviceFlow::begin(http, client).await?;
        eprintln!(
            "Open this address on any device, sign in as the owner of account {}, and type the code:\n\n  {}\n  {}\n\n\
             The code is good for {} min.",
            self.id,
            flow.verification_uri(),
            flow.user_code(),
            flow.expires_in().as_secs() / 60
        );
        let bar = account::spinner("waiting for the sign-in");
        let grant = flow.wait(http, SystemTime::now, tokio::time::sleep).await;
        bar.finish_and_clear();
        grant
    }

    /// What the file holds, after a sign-in or without one.
    fn kept(&self, own: &OwnOAuth, grant: Option<&Grant>) -> Result<Document, Failure> {
        let stored =
            TokenFile::at(&own.token).status(self.id.as_str()).map_err(|error| self.failed(error))?;
        let now = SystemTime::now();
        let mut problems = problems(stored.claims.as_ref(), Some(&own.provider), now);
        let other = stored.client_id != own.client_id;
        if other {
            problems.push(
                "it was made for another `client_id` than the configuration names: sign in again".to_owned(),
            );
        }
        // Without a word about the scope it is what was asked for (RFC 6749 section 5.1).
        let asked = grant.map(|_| own.provider.scopes.join(" "));
        let signed_in = grant.is_some() || (problems.is_empty() && stored.expires_at > now);
        let next = match (other, signed_in) {
            (true, _) => format!("run `postroom auth {}`", self.id),
            (false, true) => self.probe(),
            (false, false) if self.settings.is_none() => {
                "`postroom check --online` renews the token and tries it".to_owned()
            }
            (false, false) => format!("`postroom probe {}` renews the token and tries it", self.id),
        };
        Ok(Document {
            file: Some(own.token.display().to_string()),
            scope: stored.scope.or(asked).filter(|scope| !scope.is_empty()),
            // Only a sign-in with a refresh token is ever kept.
            renews_itself: true,
            problems,
            next,
            ..self.document(
                if own.flow == Flow::Browser { "browser" } else { "device" },
                stored.expires_at,
                now,
            )
        })
    }

    async fn by_client_credentials(&self, own: &OwnOAuth) -> Result<Document, Failure> {
        let (http, client) = self.registration(own).await?;
        let source = Source::ClientCredentials { http, client: Arc::new(client) };
        self.fetched("client-credentials", source, Some(&own.provider)).await
    }

    async fn by_command(&self, command: &[String]) -> Result<Document, Failure> {
        let command =
            TokenCommand::new(command, self.base.to_owned(), COMMAND).map_err(|error| self.failed(error))?;
        let profile =
            self.settings.and_then(|settings| settings.provider.as_deref()).and_then(Provider::find);
        self.fetched("command", Source::Command(command), profile.as_ref()).await
    }

    /// One token, to see that there is one. It is not kept.
    async fn fetched(
        &self,
        flow: &'static str,
        source: Source,
        profile: Option<&Provider>,
    ) -> Result<Document, Failure> {
        let bar = account::spinner("fetching a token");
        let bearer = Tokens::new(source).bearer(SystemTime::now(), false).await;
        bar.finish_and_clear();
        let bearer: Bearer = bearer.map_err(|error| self.failed(error))?;
        let now = SystemTime::now();
        let claims = bearer.claims();
        let granted = claims.iter().flat_map(|claims| claims.scopes.iter().chain(&claims.roles));
        let scope = granted.cloned().collect::<Vec<_>>().join(" ");
        Ok(Document {
            scope: Some(scope).filter(|scope| !scope.is_empty()),
            renews_itself: true,
            problems: problems(claims.as_ref(), profile, now),
            next: format!("nothing has to be signed in; {}", self.probe()),
            ..self.document(flow, bearer.expires_at(), now)
        })
    }

    fn document(&self, flow: &'static str, expires: SystemTime, now: SystemTime) -> Document {
        let since = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Document {
            account: self.id.to_string(),
            flow,
            file: None,
            scope: None,
            expires: Some(moment(at)),
            expired: expires <= now,
            renews_itself: false,
            problems: Vec::new(),
            next: String::new(),
        }
    }

    fn probe(&self) -> String {
        match self.settings {
            Some(_) => format!("run `postroom probe {}` to see whether the mail server takes it", self.id),
            None => "run `postroom check --online` to see whether the mail server takes it".to_owned(),
        }
    }

    async fn registration(&self, own: &OwnOAuth) -> Result<(Http, Client), Failure> {
        registration(self.id, own, self.base).await.map_err(|error| match self.settings {
            Some(settings) => account::failed(self.id, settings, error),
            None => Failure::new(account::exit(&error), error),
        })
    }

    fn nobody(&self, how: &str) -> Failure {
        let text = format!("account {} gets its tokens by {how}: nobody signs in", self.id);
        let hint = format!("`postroom auth {}` without --browser and --device fetches one", self.id);
        Failure::usage(anyhow::anyhow!(text)).hint(hint)
    }

    fn nothing_kept(&self, why: &str) -> Failure {
        let text = format!("no tokens of account {} are kept: {why}", self.id);
        Failure::usage(anyhow::anyhow!(text)).hint(format!("`postroom auth {}` fetches one", self.id))
    }

    fn failed(&self, error: Error) -> Failure {
        let exit = match &error {
            Error::File { .. } => Exit::CannotCreate,
            Error::Settings(_) | Error::Unsafe { .. } => Exit::Config,
            error if error.is_transient() => Exit::TemporaryFailure,
            _ => Exit::Unavailable,
        };
        let failure = Failure::new(exit, error);
        match exit {
            Exit::TemporaryFailure => failure.hint(format!("try again later: `postroom auth {}`", self.id)),
            Exit::Config => failure.hint(format!("correct it, then run `postroom auth {}` again", self.id)),
            _ => failure,
        }
    }
}

fn flow(configured: Flow, args: &Args) -> Flow {
    match (args.browser, args.device) {
        (true, _) => Flow::Browser,
        (_, true) => Flow::Device,
        (false, false) => configured,
    }
}

/// The directory of the token file, which may have to be made.
fn writable(file: &Path) -> Result<(), Failure> {
    let Some(directory) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| {
        let text = format!("cannot make {}, where the tokens are to be kept: {error}", directory.display());
        Failure::new(Exit::CannotCreate, anyhow::anyhow!(text))
            .hint("correct `oauth2.token`, or who owns the directory")
    })?;
    tempfile::tempfile_in(directory).map(drop).map_err(|error| {
        let text = format!("tokens cannot be written to {}: {error}", directory.display());
        Failure::new(Exit::CannotCreate, anyhow::anyhow!(text))
            .hint("see who owns that directory, and that there is space")
    })
}

fn problems(claims: Option<&Claims>, provider: Option<&Provider>, now: SystemTime) -> Vec<String> {
    match (claims, provider) {
        (Some(claims), Some(provider)) => postroom_oauth::explain(claims, provider, now),
        _ => Vec::new(),
    }
}

fn print(document: &Document) {
    println!("account  {} ({})", document.account, document.flow);
    if let Some(file) = &document.file {
        println!("kept in  {}", neutral(file, 300));
    }
    println!("scope    {}", neutral(document.scope.as_deref().unwrap_or("not told"), 500));
    if let Some(expires) = &document.expires {
        println!("token    {} {expires}", if document.expired { "ended" } else { "good until" });
    }
    if document.renews_itself {
        println!("renewal  by itself, before it ends");
    }
    for problem in &document.problems {
        println!("\nwarning: {}", neutral(problem, 500));
    }
    println!("\n{}", document.next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses_the_flow_before_the_configuration() {
        let args = |browser, device| Args { account: String::new(), browser, device, status: false };
        assert_eq!(flow(Flow::Device, &args(true, false)), Flow::Browser);
        assert_eq!(flow(Flow::Browser, &args(false, true)), Flow::Device);
        assert_eq!(flow(Flow::Browser, &args(false, false)), Flow::Browser);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_out_before_anybody_signs_in() {
        let directory = tempfile::tempdir().unwrap();
        writable(&directory.path().join("deep/er/token.json")).unwrap();
        assert!(directory.path().join("deep/er").is_dir());
        std::fs::write(directory.path().join("file"), "").unwrap();
        let failure = writable(&directory.path().join("file/token.json")).unwrap_err();
        assert_eq!(failure.exit, Exit::CannotCreate);
    }
}
