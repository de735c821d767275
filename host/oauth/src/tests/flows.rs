//! Owns the tests of the flows to a first token. Must not test what happens to it later.

use std::sync::Mutex;

use postroom_practice::Times;
use postroom_practice::token::TokenFault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn parameter(url: &str, name: &str) -> String {
    let url = oauth2::url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
}

/// What a browser does: asks the server, then goes where it is sent.
async fn browse(world: &World, url: &str) -> String {
    let location = {
        let request = oauth2::http::Request::get(url).body(Vec::new()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(world.authority.der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let browser = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let answer = browser.execute(request.try_into().unwrap()).await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    visit(&location).await
}

async fn visit(url: &str) -> String {
    let url = oauth2::url::Url::parse(url).unwrap();
    let port = url.port().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let target = format!("{}?{}", url.path(), url.query().unwrap_or(""));
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}:{port}\r\n\r\n", url.host_str().unwrap());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test]
async fn a_browser_sign_in_brings_tokens_that_the_server_accepts() {
    let world = World::new().await;
    let flow = CodeFlow::begin(&world.client).await.unwrap();
    let url = flow.url().to_owned();
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    assert!(parameter(&url, "redirect_uri").starts_with("http://127.0.0.1:"));
    let (grant, page) = tokio::join!(flow.wait(&world.http, Duration::from_secs(20)), browse(&world, &url));
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(!page.contains("practice-code"), "{page}");
    let grant = grant.unwrap();
    assert!(grant.can_refresh());
    assert_eq!(grant.scope(), Some("mail offline_access"));
    world.file.keep(&grant, &world.client, at(0)).unwrap();
    let bearer = world.tokens().bearer(at(1), false).await.unwrap();
    assert!(world.server.accepts(bearer.expose()));
    assert!(world.server.stats().asked.iter().any(|asked| asked.basic), "the client proved itself by Basic");
}

#[tokio::test]
async fn a_redirect_with_another_state_is_not_accepted_and_the_true_one_still_is() {
    let world = World::new().await;
    world.server.inject(TokenFault::WrongState, Times::Next(1));
    let flow = CodeFlow::begin(&world.client).await.unwrap();
    let url = flow.url().to_owned();
    let browser = async {
        let wrong = browse(&world, &url).await;
        let used = world.server.stats().grants("authorization_code");
        (wrong, used, browse(&world, &url).await)
    };
    let (grant, (wrong, used, right)) =
        tokio::join!(flow.wait(&world.http, Duration::from_secs(20)), browser);
    assert!(wrong.starts_with("HTTP/1.1 400"), "{wrong}");
    assert_eq!(used, 0, "the code was not used");
    assert!(right.starts_with("HTTP/1.1 200"), "{right}");
    assert!(grant.unwrap().can_refresh());
}

#[tokio::test]
async fn a_stray_request_does_not_end_the_sign_in_and_a_refusal_does() {
    let world = World::new().await;
    let flow = CodeFlow::begin(&world.client).await.unwrap();
    let (redirect, state) = (parameter(flow.url(), "redirect_uri"), parameter(flow.url(), "state"));
    let browser = async {
        // A connection opened in advance, that says nothing.
        let silent = TcpStream::connect(redirect.trim_start_matches("http://").trim_end_matches('/')).await;
        assert!(visit(&format!("{redirect}favicon.ico")).await.starts_with("HTTP/1.1 404"));
        let page = visit(&format!("{redirect}?error=access_denied&state={state}")).await;
        drop(silent);
        page
    };
    let (grant, page) = tokio::join!(flow.wait(&world.http, Duration::from_secs(20)), browser);
    assert!(page.contains("refused"), "{page}");
    assert!(matches!(grant, Err(Error::Denied { .. })), "{grant:?}");
}

#[tokio::test]
async fn a_browser_that_never_comes_back_is_not_waited_for_longer_than_told() {
    let world = World::new().await;
    let flow = CodeFlow::begin(&world.client).await.unwrap();
    let grant = flow.wait(&world.http, Duration::from_millis(1)).await;
    assert!(matches!(grant, Err(Error::TimedOut { .. })), "{grant:?}");
}

#[tokio::test]
async fn a_device_sign_in_waits_longer_when_told_to_slow_down() {
    let world = World::new().await;
    let pending = |code: &str| TokenFault::Error(Endpoint::Token, code.into(), "not yet".into());
    world.server.inject(pending("authorization_pending"), Times::Next(2));
    world.server.inject(pending("slow_down"), Times::Next(1));
    let flow = DeviceFlow::begin(&world.http, &world.client).await.unwrap();
    assert_eq!(flow.user_code(), "PRAC-TICE");
    assert_eq!(flow.verification_uri(), "https://sign-in.example/device");
    let steps = Mutex::new(Vec::new());
    let sleep = |step: Duration| {
        steps.lock().unwrap().push(step.as_secs());
        std::future::ready(())
    };
    let grant = flow.wait(&world.http, || at(0), sleep).await.unwrap();
    assert!(grant.can_refresh());
    assert_eq!(*steps.lock().unwrap(), [5, 5, 10]);
}

#[tokio::test]
async fn a_device_code_ends_on_the_callers_clock() {
    let world = World::new().await;
    world.server.inject(
        TokenFault::Error(Endpoint::Token, "authorization_pending".into(), "not yet".into()),
        Times::Always,
    );
    let flow = DeviceFlow::begin(&world.http, &world.client).await.unwrap();
    let now = Mutex::new(0);
    let sleep = |step: Duration| {
        *now.lock().unwrap() += step.as_secs();
        std::future::ready(())
    };
    let grant = flow.wait(&world.http, || at(*now.lock().unwrap()), sleep).await;
    assert!(matches!(grant, Err(Error::TimedOut { .. })), "{grant:?}");
    assert_eq!(*now.lock().unwrap(), 905);
}

#[tokio::test]
async fn client_credentials_bring_a_token_that_is_kept_until_it_ends() {
    let world = World::new().await;
    let source = Source::ClientCredentials { http: world.http.clone(), client: Arc::clone(&world.client) };
    let tokens = Tokens::new(source);
    let first = tokens.bearer(at(0), false).await.unwrap();
    let again = tokens.bearer(at(3000), false).await.unwrap();
    assert!(world.server.accepts(first.expose()));
    assert_eq!(first.expose(), again.expose());
    assert_eq!(world.server.stats().grants("client_credentials"), 1);
    assert_ne!(tokens.bearer(at(3400), false).await.unwrap().expose(), first.expose());
}

#[tokio::test]
async fn a_wrong_client_secret_is_the_operators_to_mend() {
    let world = World::new().await;
    let client = client_of(&world.server, "canary-wrong-secret");
    let tokens = Tokens::new(Source::ClientCredentials { http: world.http.clone(), client });
    let error = tokens.bearer(at(0), false).await.unwrap_err();
    assert!(!error.is_transient() && !error.needs_sign_in());
    assert!(error.to_string().contains("`client_secret`"), "{error}");
    let error = tokens.bearer(at(60), false).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("`client_secret`"), "{error}");
    assert_eq!(world.server.stats().grants("client_credentials"), 1, "not asked again at once");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let world = World::new().await;
    let http = trust(&Authority::new().unwrap(), Duration::from_secs(20));
    let error = DeviceFlow::begin(&http, &world.client).await.unwrap_err();
    assert!(error.to_string().contains("trusted"), "{error}");
    assert_eq!(world.server.stats().asked.len(), 0);
}
