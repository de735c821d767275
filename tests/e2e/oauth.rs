//! Access tokens from a real authorization server over TLS to a maildrop that takes none but those: obtained, renewed,
//! rotated, expired, revoked, refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom_oauth::{Client, DeviceFlow, Http, Provider, TokenFile};
use postroom_practice::maildrop::MaildropConfig;
use postroom_practice::token::{Endpoint, TokenFault, TokenServer, TokenServerConfig};
use postroom_practice::{Identity, Maildrop, Security, Times};
use serde_json::Value;

use crate::support::{ARCHIVE, Bench, account, authority, mail};

/// The client's id at the authorization server.
pub(crate) const CLIENT: &str = "desk";
/// The password of the maildrop's account; never told to the program under test.
const UNUSED: &str = "not to be used";

/// An authorization server, a maildrop that takes its tokens, and an account in between.
pub(crate) struct Stand {
    pub(crate) bench: Bench,
    pub(crate) tokens: Arc<TokenServer>,
    pub(crate) maildrop: Maildrop,
}

impl Stand {
    /// The maildrop takes for `user` what the authorization server issued, if `also` agrees.
    pub(crate) async fn new(
        tokens: TokenServerConfig,
        bench: Bench,
        identity: &Identity,
        also: fn(&str) -> bool,
    ) -> Self {
        let tokens = Arc::new(TokenServer::start(tokens).await.expect("an authorization server"));
        let issuer = Arc::clone(&tokens);
        let config = MaildropConfig::new(Security::Implicit(identity.clone()))
            .account("user", UNUSED, vec![mail("one")])
            .tokens(move |name, token| name == "user" && issuer.accepts(token) && also(token));
        let maildrop = Maildrop::start(config).await.expect("a maildrop");
        Self { bench, tokens, maildrop }
    }

    /// With a confidential client that somebody has signed in for, and `more` in the table `oauth2`.
    pub(crate) async fn signed_in(change: fn(TokenServerConfig) -> TokenServerConfig) -> Self {
        let bench = Bench::new();
        let (_, identity) = authority(&bench);
        let config = change(TokenServerConfig::new(identity.clone(), CLIENT));
        let stand = Self::new(config, bench, &identity, |_| true).await;
        stand.configure("xoauth2", "flow = \"device\"");
        stand.sign_in().await;
        stand
    }

    pub(crate) fn configure(&self, auth: &str, oauth: &str) {
        let own = format!(
            "oauth2 = {{ provider = \"generic\", token = \"token.json\", client_id = \"{CLIENT}\", {oauth}, \
             scopes = [\"mail\"], token_endpoint = \"{}\", device_endpoint = \"{}\", authorization_endpoint = \"{}\", \
             ca_file = \"ca.pem\" }}",
            self.tokens.url(Endpoint::Token),
            self.tokens.url(Endpoint::Device),
            self.tokens.url(Endpoint::Authorize),
        );
        self.configure_by(auth, &own);
    }

    fn configure_by(&self, auth: &str, oauth2: &str) {
        let more = if auth == "auto" { String::new() } else { format!("auth = \"{auth}\"\n") };
        let section = account("home", self.maildrop.addr().port(), &format!("{more}{oauth2}"));
        let section = section.replace("password = { file = \"password\" }\n", "");
        self.bench.config(&format!("{section}{ARCHIVE}"));
    }

    /// A sign-in by device code with the crate that `postroom auth` uses, without its waiting.
    async fn sign_in(&self) {
        let ca_file = Some(self.bench.path("ca.pem"));
        let trust = postroom_dial::Trust { ca_file, ..Default::default() };
        let tls = trust.prepare().expect("the authority").config();
        let http = Http::new(Arc::unwrap_or_clone(tls), Duration::from_secs(10)).expect("HTTPS");
        let mut provider = Provider::find("generic").expect("the generic profile");
        provider.device_endpoint = Some(self.tokens.url(Endpoint::Device));
        provider.token_endpoint = Some(self.tokens.url(Endpoint::Token));
        provider.scopes = vec!["mail".to_owned()];
        let client = Client::new("home", &provider, CLIENT, None, None).expect("a client");
        let flow = DeviceFlow::begin(&http, &client).await.expect("a code to show");
        let now = SystemTime::now();
        // The practice server agrees at once, so there is nothing to wait for.
        let grant = flow.wait(&http, || now, |_| std::future::ready(())).await.expect("a grant");
        TokenFile::at(self.file()).keep(&grant, &client, now).expect("kept");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.bench.path("token.json")
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).expect("the token file")).expect("JSON")
    }

    /// Makes the kept token one that ends in so many seconds of an hour.
    fn ends_in(&self, seconds: u64) {
        let mut kept = self.kept();
        let ends = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() + seconds;
        kept["expires_at"] = ends.into();
        kept["obtained_at"] = (ends - 3600).into();
        self.bench.secret("token.json", &kept.to_string());
    }

    /// `once`, which must end so, and what it says of the account. No token may show anywhere in it.
    pub(crate) async fn poll(&self, code: i32) -> Value {
        let (run, summary) = self.bench.once().await;
        run.expect(code);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("practice-"), "a token shows: {run:#?}");
        summary["accounts"]["home"].clone()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.tokens.stats().grants("refresh_token")
    }

    pub(crate) fn logins(&self) -> (u64, u64) {
        let stats = self.maildrop.stats();
        (stats.account("user").logins, stats.refused_logins)
    }
}

#[track_caller]
fn says(report: &Value, words: &str) {
    let text = format!("{} {}", report["error"], report["hint"]);
    assert!(text.contains(words), "{words:?} is not in {report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_sign_in_opens_the_maildrop_by_every_mechanism_and_serves_many_polls() {
    let stand = Stand::signed_in(|config| config).await;
    for (polls, auth) in ["xoauth2", "oauthbearer", "auto"].into_iter().enumerate() {
        stand.configure(auth, "flow = \"device\"");
        let report = stand.poll(0).await;
        assert_eq!(report["retrieved"], u64::from(polls == 0), "{auth}: {report:#}");
    }
    assert_eq!(stand.logins(), (3, 0));
    assert_eq!(stand.refreshes(), 0, "a token that is good is not renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_nobody_signed_in_for_says_so() {
    let stand = Stand::signed_in(|config| config).await;
    std::fs::remove_file(stand.file()).expect("removed");
    let report = stand.poll(69).await;
    says(&report, "postroom auth home");
    assert_eq!(report["needs_a_person"], true, "{report:#}");
    assert_eq!(stand.maildrop.stats().connections, 0, "the mail server is not bothered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_ends_and_the_refresh_token_rotates() {
    let stand = Stand::signed_in(|config| config).await;
    let mut before = stand.kept();
    for renewals in 1..=3 {
        stand.ends_in(100);
        let report = stand.poll(0).await;
        assert_eq!(report["error"], Value::Null, "{report:#}");
        assert_eq!(stand.refreshes(), renewals, "before the server would have refused it");
        let now = stand.kept();
        assert_ne!(now["access_token"], before["access_token"]);
        assert_ne!(now["refresh_token"], before["refresh_token"]);
        before = now;
    }
    assert_eq!((stand.logins(), stand.tokens.stats().reused), ((3, 0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_does_not_rotate_is_kept() {
    let stand = Stand::signed_in(TokenServerConfig::without_rotation).await;
    let before = stand.kept();
    for renewals in 1..=2 {
        stand.ends_in(100);
        stand.poll(0).await;
        assert_eq!(stand.refreshes(), renewals);
        assert_eq!(stand.kept()["refresh_token"], before["refresh_token"]);
        assert_ne!(stand.kept()["access_token"], before["access_token"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_server_that_is_unwell_costs_a_poll_at_most_and_never_the_sign_in() {
    let stand = Stand::signed_in(|config| config).await;
    stand.ends_in(0);
    let before = stand.kept();
    stand.tokens.inject(TokenFault::Status(Endpoint::Token, 503), Times::Next(1));
    let report = stand.poll(75).await;
    assert_eq!(report["needs_a_person"], false, "{report:#}");
    assert_eq!(stand.kept(), before);
    assert_eq!(stand.poll(0).await["retrieved"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_still_good_is_used_while_the_authorization_server_is_unwell() {
    let stand = Stand::signed_in(|config| config).await;
    stand.ends_in(100);
    stand.tokens.inject(TokenFault::Status(Endpoint::Token, 503), Times::Next(1));
    assert_eq!(stand.poll(0).await["retrieved"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_or_was_withdrawn_early_costs_one_refresh_and_one_more_login() {
    for (auth, withdrawn) in
        [("xoauth2", false), ("oauthbearer", false), ("xoauth2", true), ("oauthbearer", true)]
    {
        let stand = Stand::signed_in(|config| config).await;
        stand.configure(auth, "flow = \"device\"");
        // The client still thinks it good: the server's clock is ahead, or the server changed its mind.
        if withdrawn {
            stand.tokens.revoke_access()
        } else {
            stand.tokens.advance(Duration::from_secs(3601))
        }
        let report = stand.poll(0).await;
        assert_eq!(report["retrieved"], 1, "{auth} {withdrawn}: {report:#}");
        assert_eq!((stand.logins(), stand.refreshes()), ((1, 1), 1), "{auth} {withdrawn}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_that_is_refused_as_well_is_not_tried_again() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let config = TokenServerConfig::new(identity.clone(), CLIENT);
    let stand = Stand::new(config, bench, &identity, |_| false).await;
    for (polls, auth) in ["xoauth2", "oauthbearer"].into_iter().enumerate() {
        stand.configure(auth, "flow = \"device\"");
        stand.sign_in().await;
        let report = stand.poll(69).await;
        assert_eq!((&report["trouble"], &report["needs_a_person"]), (&"credentials".into(), &true.into()));
        let polls = polls as u64 + 1;
        assert_eq!((stand.logins(), stand.refreshes() as u64), ((0, 2 * polls), polls), "{auth}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_sign_in_names_the_command_that_mends_it() {
    let stand = Stand::signed_in(|config| config).await;
    stand.tokens.revoke();
    let report = stand.poll(69).await;
    says(&report, "postroom auth home");
    assert_eq!((stand.logins(), stand.refreshes()), ((0, 1), 1), "{report:#}");
    stand.sign_in().await;
    assert_eq!(stand.poll(0).await["retrieved"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_be_the_owner_itself() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let config = TokenServerConfig::new(identity.clone(), CLIENT).client_secret("s3cret");
    let stand = Stand::new(config, bench, &identity, |_| true).await;
    stand.bench.secret("client-secret", "s3cret");
    let own = "flow = \"client-credentials\", client_secret = { file = \"client-secret\" }";
    stand.configure("xoauth2", own);
    let report = stand.poll(0).await;
    assert_eq!(report["retrieved"], 1, "{report:#}");
    assert_eq!(stand.tokens.stats().grants("client_credentials"), 1);
    assert!(!stand.file().exists(), "there is nothing to keep");

    stand.bench.secret("client-secret", "wrong");
    let report = stand.poll(69).await;
    says(&report, "client_secret");
    assert!(!report.to_string().contains("s3cret"), "{report:#}");
    assert_eq!(stand.logins(), (1, 0));
}

/// A token of an issuer of its own, longer than a command line may be.
const LONG: &str = "practice-long-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_prints_the_token_and_a_long_one_goes_into_a_line_of_its_own() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    // This maildrop refuses AUTH lines of more than 255 octets (RFC 5034 section 4), so a login proves two lines.
    let config = MaildropConfig::new(Security::Implicit(identity.clone()))
        .account("user", UNUSED, vec![mail("one")])
        .tokens(|name, token| name == "user" && token == LONG);
    let maildrop = Maildrop::start(config).await.expect("a maildrop");
    let tokens = TokenServerConfig::new(identity, CLIENT);
    let tokens = Arc::new(TokenServer::start(tokens).await.expect("an authorization server"));
    let stand = Stand { bench, tokens, maildrop };
    assert!(LONG.len() > 255);
    stand.bench.secret("printed", LONG);
    for (logins, auth) in (1..).zip(["xoauth2", "oauthbearer"]) {
        stand.configure_by(auth, "oauth2 = { command = [\"/bin/cat\", \"printed\"] }");
        let report = stand.poll(0).await;
        assert_eq!((&report["error"], stand.logins()), (&Value::Null, (logins, 0)), "{auth}: {report:#}");
    }
    stand.configure_by("xoauth2", "oauth2 = { command = [\"/bin/cat\", \"not-there\"] }");
    let report = stand.poll(69).await;
    says(&report, "cat");
    stand.bench.secret("printed", "practice-another");
    stand.configure_by("xoauth2", "oauth2 = { command = [\"/bin/cat\", \"printed\"] }");
    let report = stand.poll(69).await;
    assert_eq!(
        (&report["trouble"], stand.logins()),
        (&"credentials".into(), (2, 2)),
        "asked once more: {report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_server_of_another_authority_gets_no_secret() {
    let stand = Stand::signed_in(|config| config).await;
    stand.ends_in(0);
    let stranger = postroom_practice::Authority::new().expect("another authority");
    stranger.write_pem(&stand.bench.path("stranger.pem")).expect("its certificate");
    let config = std::fs::read_to_string(stand.bench.path("postroom.toml")).expect("the configuration");
    let config = config.replace("ca_file = \"ca.pem\" }", "ca_file = \"stranger.pem\" }");
    assert!(config.contains("stranger"));
    stand.bench.write("postroom.toml", config);
    let before = stand.tokens.stats().asked.len();
    let (run, summary) = stand.bench.once().await;
    assert!(matches!(run.code, Some(69 | 75)), "{run:#?}");
    says(&summary["accounts"]["home"], "certificate");
    assert_eq!(stand.tokens.stats().asked.len(), before);
}
