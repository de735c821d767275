//! `postroom auth` against a token server over TLS: what is kept, what is said, and that no token is shown.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use postroom_practice::token::{Endpoint, TokenFault, TokenServer, TokenServerConfig};
use postroom_practice::{Identity, Times};
use serde_json::Value;

use crate::support::{ARCHIVE, Bench, account, authority};

/// An account `work` that signs in with the token server, by this flow.
fn with_tokens(bench: &Bench, server: &TokenServer, flow: &str) {
    bench.secret("client", "canary-client-secret");
    let url = |endpoint| server.url(endpoint);
    bench.config(&format!(
        r#"[accounts.work]
host = "localhost"
port = 1
user = "user"
[accounts.work.oauth2]
provider = "generic"
flow = "{flow}"
token = "tokens/work.json"
client_id = "client"
client_secret = {{ file = "client" }}
scopes = ["mail", "offline_access"]
authorization_endpoint = "{}"
device_endpoint = "{}"
token_endpoint = "{}"
ca_file = "ca.pem"
{ARCHIVE}"#,
        url(Endpoint::Authorize),
        url(Endpoint::Device),
        url(Endpoint::Token),
    ));
}

async fn token_server(identity: &Identity) -> TokenServer {
    let config = TokenServerConfig::new(identity.clone(), "client").client_secret("canary-client-secret");
    TokenServer::start(config).await.expect("a token server")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_sign_in_is_kept_for_its_owner_and_shows_no_token() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = token_server(&identity).await;
    with_tokens(&bench, &server, "device");
    bench
        .postroom(&["auth", "work", "--status"])
        .await
        .expect(69)
        .says(&["has not been signed in", "`postroom auth work`"]);
    assert!(server.stats().asked.is_empty(), "--status asks nobody");
    let run = bench.postroom(&["auth", "work"]).await;
    run.expect(0).says(&[
        "https://sign-in.example/device",
        "PRAC-TICE",
        "scope    mail",
        "good until",
        "by itself",
        "postroom probe work",
    ]);
    let mode =
        std::fs::metadata(bench.path("tokens/work.json")).expect("the token file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(bench.path("tokens/work.json")).expect("the token file");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    let asked = server.stats().asked.len();
    let status = bench.postroom(&["auth", "work", "--status", "--json"]).await;
    let document = status.expect(0).json();
    assert_eq!((&document["scope"], &document["expired"]), (&"mail".into(), &false.into()));
    assert_eq!(server.stats().asked.len(), asked, "--status asks nobody");
    for secret in
        ["access_token", "refresh_token"].map(|name| kept[name].as_str().expect("a token").to_owned())
    {
        assert!(!format!("{run:?}{status:?}").contains(&secret));
    }
    assert!(!format!("{run:?}").contains("canary-client-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_says_what_to_run_and_keeps_nothing() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = token_server(&identity).await;
    with_tokens(&bench, &server, "device");
    let fault = TokenFault::Error(Endpoint::Token, "access_denied".to_owned(), "no, thank you".to_owned());
    server.inject(fault, Times::Next(1));
    bench.postroom(&["auth", "work"]).await.expect(69).says(&["no, thank you", "run `postroom auth work`"]);
    assert!(!bench.path("tokens/work.json").exists());
    server.inject(TokenFault::Status(Endpoint::Device, 503), Times::Next(1));
    bench.postroom(&["auth", "work"]).await.expect(75).says(&["`postroom auth work`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sign_in_waits_for_the_redirect_to_loopback() {
    use std::io::{BufRead, BufReader};
    let bench = Bench::new();
    let (authority, identity) = authority(&bench);
    let server = token_server(&identity).await;
    with_tokens(&bench, &server, "device");
    let mut command = bench.command(&["auth", "work", "--browser", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let stderr = child.stderr.take().expect("piped");
    let url = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.find(|line| line.trim().starts_with("https://")).expect("the address").trim().to_owned()
    });
    let url = url.await.expect("joins");
    let answer = browse(&authority, server.addr().port(), &url).await;
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .expect("a redirect")
        .trim()
        .to_owned();
    let back = location.strip_prefix("http://").expect("to loopback");
    let (host, path) = back.split_once('/').expect("a path");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("loopback");
    let page = exchange(&mut stream, host, &format!("/{path}")).await;
    assert!(page.contains("Postroom has what it needs"), "{page}");
    let output =
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("joins").expect("ends");
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["scope"], "mail offline_access");
    assert!(bench.path("tokens/work.json").exists());
}

/// As a browser: the answer to a GET over TLS.
async fn browse(authority: &postroom_practice::Authority, port: u16, url: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).expect("an authority");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
    let name = "localhost".try_into().expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(name, stream).await.expect("TLS");
    let path =
        url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).expect("a path");
    exchange(&mut stream, &format!("localhost:{port}"), path).await
}

async fn exchange(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    host: &str,
    path: &str,
) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_signs_in_auth_fetches_one_token_and_says_so() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = token_server(&identity).await;
    with_tokens(&bench, &server, "client-credentials");
    bench
        .postroom(&["auth", "work"])
        .await
        .expect(0)
        .says(&["client-credentials", "nothing has to be signed in"]);
    assert_eq!(server.stats().grants("client_credentials"), 1);
    assert!(!bench.path("tokens/work.json").exists());
    bench.postroom(&["auth", "work", "--browser"]).await.expect(64).says(&["nobody signs in"]);

    let oauth =
        "[accounts.work]\nhost = \"localhost\"\nport = 1\nuser = \"user\"\noauth2 = { command = COMMAND }\n";
    let with = |command: &str| bench.config(&format!("{}{ARCHIVE}", oauth.replace("COMMAND", command)));
    with("[\"printf\", \"canary-token-of-a-command\"]");
    let run = bench.postroom(&["auth", "work"]).await;
    run.expect(0).says(&["(command)", "nothing has to be signed in"]);
    assert!(!format!("{run:?}").contains("canary-token"));
    with("[\"false\"]");
    bench.postroom(&["auth", "work"]).await.expect(69).says(&["false", "run it by hand"]);

    bench.config(&format!("{}{ARCHIVE}", account("home", 1, "")));
    bench
        .postroom(&["auth", "home"])
        .await
        .expect(64)
        .says(&["logs in with a password", "postroom probe home"]);
}
