//! Calls to servers on loopback: who is reached, what is sent and shown, and how each attack ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use postroom_practice::{Authority, CertificateKind, Identity};
use postroom_sandbox::{FetchMethod, FetchPath};
use reqwest::dns::{Addrs, Name as Asked, Resolving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const CANARY: &str = "canary-fetch-4f9c2e81b7";

/// What the server does after it read a request.
#[derive(Clone)]
enum Reply {
    /// Sends this and closes.
    Octets(Vec<u8>),
    /// Sends this and then nothing, for ever.
    Stuck(&'static str),
    /// A head, then octets without end.
    Endless,
}

fn ok(body: &str) -> Reply {
    Reply::Octets(
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes(),
    )
}

/// An HTTP server over TLS that keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    directory: tempfile::TempDir,
}

impl Server {
    async fn start(kind: CertificateKind, reply: Reply) -> Self {
        let authority = Authority::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        authority.write_pem(&directory.path().join("ca.pem")).unwrap();
        secret(directory.path(), "token", CANARY);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(listener, authority.issue(kind).unwrap(), reply, Arc::clone(&asked)));
        Self { port, asked, directory }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/api/", self.port)
    }

    /// Targets with one, `crm`, of this configuration.
    fn targets(&self, more: &str) -> Targets {
        self.targets_with(&self.url(), more, Arc::new(System))
    }

    fn targets_with(&self, url: &str, more: &str, names: Arc<dyn Resolve>) -> Targets {
        let text = format!("url = \"{url}\"\nca_file = \"ca.pem\"\nbearer = {{ file = \"token\" }}\n{more}");
        let config: FetchConfig = toml::from_str(&text).unwrap();
        assert_eq!(config.problems(), []);
        let config = BTreeMap::from([(name("crm"), config)]);
        Targets::build_with(&config, self.directory.path(), names).unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }
}

const HERE: &str = "private = [\"127.0.0.0/8\", \"::1\"]\n";

fn secret(directory: &Path, file: &str, text: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join(file));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

async fn accept(listener: TcpListener, identity: Identity, reply: Reply, asked: Arc<Mutex<Vec<String>>>) {
    let tls = TlsAcceptor::from(identity.server());
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, reply, asked) = (tls.clone(), reply.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            let Ok(mut stream) = tls.accept(socket).await else { return };
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut octets = [0; 4096];
                match stream.read(&mut octets).await {
                    Ok(read) if read > 0 => head.extend_from_slice(&octets[..read]),
                    _ => return,
                }
            }
            asked.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            match reply {
                Reply::Octets(octets) => {
                    let _ = stream.write_all(&octets).await;
                    let _ = stream.shutdown().await;
                }
                Reply::Stuck(octets) => {
                    let _ = stream.write_all(octets.as_bytes()).await;
                    std::future::pending::<()>().await;
                }
                Reply::Endless => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                    while stream.write_all(&[b'x'; 16 << 10]).await.is_ok() {}
                }
            }
        });
    }
}

/// Answers each look-up with the next list, and in the end with the last one again.
struct Names(Mutex<VecDeque<Vec<&'static str>>>);

impl Names {
    fn new<const N: usize>(answers: [&[&'static str]; N]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().map(<[_]>::to_vec).collect())))
    }
}

impl Resolve for Names {
    fn resolve(&self, _: Asked) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let addresses = answer.unwrap().into_iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0));
        let addresses = Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs;
        Box::pin(async move { Ok(addresses) })
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn get(path: &str) -> FetchRequest {
    FetchRequest {
        step: "main/known".to_owned(),
        target: name("crm"),
        method: FetchMethod::Get,
        path: FetchPath::new(path.to_owned()).unwrap(),
        headers: Vec::new(),
        body: None,
        most: 1 << 20,
        within: Duration::from_secs(10),
    }
}

async fn call(targets: &Targets, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
    targets.targets[&request.target].call(request).await
}

/// The text of a failure, which shows nothing of where the target is and what it is sent.
#[track_caller]
fn unavailable(outcome: Result<FetchAnswer, FetchError>) -> String {
    let Err(FetchError::Unavailable(text)) = outcome else { panic!("{outcome:?}") };
    for hidden in [CANARY, "localhost", "127.0.0.1", "https", ".example", "/api"] {
        assert!(!text.contains(hidden), "{text}");
    }
    text
}

#[tokio::test]
async fn a_call_goes_below_the_url_with_the_hosts_credentials_and_the_plugins_fields() {
    let server = Server::start(CertificateKind::Good, ok("{\"id\":1}")).await;
    let targets = server.targets(HERE);
    let mut request = get("people/1?full=yes");
    request.headers = vec![("accept".to_owned(), "application/json".to_owned())];
    let answer = call(&targets, &request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{\"id\":1}"[..]));
    let asked = server.asked().pop().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /api/people/1?full=yes http/1.1\r\n"), "{asked}");
    for line in [
        format!("host: localhost:{}", server.port),
        format!("authorization: bearer {CANARY}"),
        "accept: application/json".to_owned(),
        "accept-encoding: identity".to_owned(),
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line}: {asked}");
    }
}

#[tokio::test]
async fn any_status_is_an_answer_and_a_redirect_is_not_followed() {
    let elsewhere = Server::start(CertificateKind::Good, ok("internal")).await;
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    let server = Server::start(CertificateKind::Good, Reply::Octets(moved.into_bytes())).await;
    let answer = call(&server.targets(HERE), &get("")).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (302, 0));
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn loopback_is_not_reached_unless_the_operator_names_it() {
    let server = Server::start(CertificateKind::Good, ok("internal")).await;
    let text = unavailable(call(&server.targets(""), &get("")).await);
    assert!(text.contains("not let to"), "{text}");
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_name_that_turns_to_loopback_between_two_calls_is_not_followed() {
    let server = Server::start(CertificateKind::Good, ok("internal")).await;
    // The first look-up is named by the operator, the second is not: each connection goes to what was checked for it.
    let names = Names::new([&["127.0.0.1"], &["127.0.0.2"]]);
    let url = format!("https://localhost:{}/", server.port);
    let targets = server.targets_with(&url, "private = [\"127.0.0.1\"]\n", names);
    assert_eq!(call(&targets, &get("")).await.unwrap().body, b"internal");
    assert!(unavailable(call(&targets, &get("")).await).contains("not let to"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_mixes_public_and_loopback_addresses_is_not_used_at_all() {
    let server = Server::start(CertificateKind::Good, ok("internal")).await;
    for mixed in
        [["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["2606:4700::1", "::ffff:127.0.0.1"]]
    {
        let url = format!("https://crm.example:{}/", server.port);
        let targets = server.targets_with(&url, "", Names::new([&mixed]));
        assert!(unavailable(call(&targets, &get("")).await).contains("not let to"), "{mixed:?}");
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_unavailable() {
    let server = Server::start(CertificateKind::Good, ok("")).await;
    let targets = server.targets_with("https://crm.example/", "", Names::new([&[]]));
    unavailable(call(&targets, &get("")).await);
}

#[tokio::test]
async fn a_certificate_for_another_host_or_of_another_authority_is_refused() {
    for kind in [CertificateKind::OtherHost, CertificateKind::SelfSigned, CertificateKind::Expired] {
        let server = Server::start(kind, ok("")).await;
        let text = unavailable(call(&server.targets(HERE), &get("")).await);
        assert!(text.contains("could not be trusted"), "{kind:?}: {text}");
        assert_eq!(server.asked().len(), 0);
    }
}

#[tokio::test]
async fn an_answer_that_comes_slowly_ends_with_the_time_of_the_call() {
    for reply in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"] {
        let server = Server::start(CertificateKind::Good, Reply::Stuck(reply)).await;
        let targets = server.targets(&format!("{HERE}timeout = \"150ms\"\n"));
        let text = unavailable(call(&targets, &get("")).await);
        assert!(text.contains("did not answer within 150ms"), "{text}");
        let mut request = get("");
        request.within = Duration::from_millis(50);
        assert!(unavailable(call(&targets, &request).await).contains("within 50ms"));
    }
}

#[tokio::test]
async fn a_body_without_end_or_longer_than_allowed_is_cut_off() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n".to_owned();
    for reply in [Reply::Endless, Reply::Octets(long.into_bytes())] {
        let server = Server::start(CertificateKind::Good, reply).await;
        let targets = server.targets(&format!("{HERE}max_response = \"100 KiB\"\n"));
        let outcome = call(&targets, &get("")).await;
        assert_eq!(outcome.unwrap_err(), FetchError::TooLarge { most: 100 << 10 });
        let mut request = get("");
        request.most = 10;
        assert_eq!(call(&targets, &request).await.unwrap_err(), FetchError::TooLarge { most: 10 });
    }
}

#[tokio::test]
async fn a_compressed_body_is_handed_over_as_it_is() {
    let bomb = zstd::encode_all(&*vec![0; 4 << 20], 19).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let reply = Reply::Octets([head.as_bytes(), &bomb].concat());
    let server = Server::start(CertificateKind::Good, reply).await;
    assert_eq!(call(&server.targets(HERE), &get("")).await.unwrap().body, bomb);
}

#[tokio::test]
async fn an_answer_with_too_many_header_fields_is_refused() {
    let many: String = (0..65).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "y".repeat(17 << 10));
    for fields in [many, long] {
        let reply = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
        let server = Server::start(CertificateKind::Good, Reply::Octets(reply.into_bytes())).await;
        let outcome = call(&server.targets(HERE), &get("")).await;
        assert!(matches!(outcome, Err(FetchError::Refused(_) | FetchError::Unavailable(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_or_breaks_off_is_unavailable() {
    for reply in ["220 mail.example ESMTP\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", ""] {
        let server = Server::start(CertificateKind::Good, Reply::Octets(reply.into())).await;
        unavailable(call(&server.targets(HERE), &get("")).await);
    }
}

#[tokio::test]
async fn an_answer_that_repeats_the_credentials_is_withheld() {
    let in_field = format!("HTTP/1.1 200 OK\r\nX-Echo: Bearer {CANARY}\r\nContent-Length: 0\r\n\r\n");
    for reply in [ok(&format!("you sent {CANARY}!")), Reply::Octets(in_field.into_bytes())] {
        let server = Server::start(CertificateKind::Good, reply).await;
        let Err(FetchError::Refused(text)) = call(&server.targets(HERE), &get("")).await else { panic!() };
        assert!(text.contains("withheld") && !text.contains(CANARY), "{text}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_granted_is_denied_with_the_line_that_would() {
    let server = Server::start(CertificateKind::Good, ok("")).await;
    let mut post = get("people");
    (post.method, post.body) = (FetchMethod::Post, Some(b"who?".to_vec()));
    let refused = call(&server.targets(HERE), &post).await.unwrap_err();
    assert_eq!(refused, FetchError::Denied("methods = [\"get\", \"post\"] of the target crm".to_owned()));
    assert_eq!(server.asked().len(), 0);
    let targets = server.targets(&format!("{HERE}methods = [\"post\"]\n"));
    assert_eq!(call(&targets, &post).await.unwrap().status, 200);
    assert!(server.asked()[0].starts_with("POST /api/people HTTP/1.1"));
}

#[tokio::test]
async fn a_target_is_asked_only_so_often() {
    let server = Server::start(CertificateKind::Good, ok("")).await;
    let targets = server.targets(&format!("{HERE}per_minute = 2\n"));
    for _ in 0..2 {
        call(&targets, &get("")).await.unwrap();
    }
    let text = unavailable(call(&targets, &get("")).await);
    assert!(text.contains("at most 2 times a minute"), "{text}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn calls_beyond_the_connections_of_a_target_wait_their_turn() {
    let server = Server::start(CertificateKind::Good, Reply::Stuck("")).await;
    let targets = server.targets(&format!("{HERE}connections = 1\ntimeout = \"200ms\"\n"));
    let (one, two) = (get("one"), FetchRequest { within: Duration::from_millis(100), ..get("two") });
    let (first, second) = tokio::join!(call(&targets, &one), call(&targets, &two));
    unavailable(first);
    unavailable(second);
    assert_eq!(server.asked().len(), 1, "the second had no connection while it waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_thread_waits_for_the_runtime_and_an_unknown_target_is_refused() {
    let server = Server::start(CertificateKind::Good, ok("x")).await;
    let targets = server.targets(HERE);
    let answers = tokio::task::spawn_blocking(move || {
        let unknown = FetchRequest { target: name("erp"), ..get("") };
        (targets.fetch(&get("")), targets.fetch(&unknown))
    });
    let (answer, unknown) = answers.await.unwrap();
    assert_eq!(answer.unwrap().body, b"x");
    assert!(matches!(unknown, Err(FetchError::Refused(text)) if text.contains("no target erp")));
}

fn problem_of(text: &str) -> Option<String> {
    let config: FetchConfig = toml::from_str(text).unwrap();
    config.problems().into_iter().next().map(|problem| {
        assert!(!problem.text.contains("hunter2"), "{}", problem.text);
        format!("{}: {}", problem.key, problem.text)
    })
}

#[test]
fn an_address_in_any_spelling_is_no_target_unless_it_is_named() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "192.168.1.1",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
    ] {
        let found = problem_of(&format!("url = \"https://{host}/\""));
        assert!(found.as_deref().is_some_and(|text| text.starts_with("url: ")), "{host}: {found:?}");
    }
    let capitals = "url = \"HTTP://93.184.216.34/\"\nallow_http = true\nprivate = [\"10.0.0.0/8\"]";
    assert!(problem_of(capitals).is_some(), "plain HTTP goes to named addresses only, however it is written");
    assert_eq!(problem_of("url = \"https://93.184.216.34/\""), None);
    assert_eq!(problem_of("url = \"https://10.1.2.3/\"\nprivate = [\"10.1.2.0/24\"]"), None);
    assert_eq!(problem_of("url = \"https://[fd12::1]:8443/\"\nprivate = [\"fd12::/16\"]"), None);
    // Even when it is named, an address has one spelling.
    let odd = problem_of("url = \"https://2130706433/\"\nprivate = [\"127.0.0.0/8\"]").unwrap();
    assert!(odd.contains("odd way"), "{odd}");
}

#[test]
fn a_url_that_is_none_of_a_target_is_refused_and_not_shown() {
    for (url, expected) in [
        ("https://user:hunter2@crm.example/", "user or a password"),
        ("https://crm.example/?key=hunter2", "query"),
        ("https://crm.example/#hunter2", "fragment"),
        ("http://crm.example/", "must start with https://"),
        ("ftp://crm.example/", "must start with https://"),
        ("file:///etc/passwd", "must start with https://"),
        ("crm.example", "no URL"),
        ("https://", "no URL"),
        ("https:\\\\crm.example", "a character"),
        ("https://crm.example/a b", "a character"),
    ] {
        let found = problem_of(&format!("url = '{url}'")).unwrap();
        assert!(found.contains(expected), "{url}: {found}");
    }
    let open = problem_of("url = \"http://crm.example/\"\nallow_http = true").unwrap();
    assert!(open.contains("private addresses only"), "{open}");
    assert_eq!(
        problem_of("url = \"http://crm.example/\"\nallow_http = true\nprivate = [\"10.0.0.0/8\"]"),
        None
    );
}

#[test]
fn header_fields_of_the_connection_are_not_the_operators_either() {
    for field in
        ["Host", "Content-Length", "transfer-encoding", "Proxy-Authorization", "\"a b\"", "\"a\\r\\nb\""]
    {
        let text = format!("url = \"https://crm.example/\"\nheaders = {{ {field} = {{ env = \"X\" }} }}");
        assert!(problem_of(&text).unwrap().starts_with("headers: "), "{field}");
    }
    let twice = "url = \"https://crm.example/\"\nbearer = { env = \"X\" }\nheaders = { authorization = { env = \"X\" } }";
    assert!(problem_of(twice).unwrap().contains("twice"));
    let literal = "url = \"https://crm.example/\"\nheaders = { Authorization = \"hunter2\" }";
    assert!(!toml::from_str::<FetchConfig>(literal).unwrap_err().message().contains("hunter2"));
}

#[test]
fn a_secret_that_no_field_can_carry_is_refused_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    secret(directory.path(), "token", "hunter2\u{1}");
    let config: FetchConfig =
        toml::from_str("url = \"https://crm.example/\"\nbearer = { file = \"token\" }").unwrap();
    let Err(wrong) = Targets::build(&BTreeMap::from([(name("crm"), config)]), directory.path()) else {
        panic!()
    };
    assert!(!wrong[0].to_string().contains("hunter2"), "{}", wrong[0]);
}
