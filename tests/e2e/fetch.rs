//! A plugin that asks a server on loopback over TLS, in the real binary: what reaches the server, the plugin and the log.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use postroom_practice::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

const CANARY: &str = "canary+fetch/6d1f0a=93c7";

/// A guest that makes the calls its settings name.
fn fetcher() -> PathBuf {
    postroom_tests::guest("guest-fetcher", Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A server that answers everything with what it was started with, and keeps the heads of requests.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(identity: &Identity, answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(listener, TlsAcceptor::from(identity.server()), answer, Arc::clone(&asked)));
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    answer: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let Ok(mut stream) = tls.accept(socket).await else { continue };
        let mut head = vec![0; 16 << 10];
        let Ok(read) = stream.read(&mut head).await else { continue };
        head.truncate(read);
        asked.lock().expect("no panic").push(String::from_utf8_lossy(&head).into_owned());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

const FOUND: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nAnn";

/// One account, one target at the server, and a step that makes `calls`.
async fn stand(
    calls: &str,
    answer: &'static str,
    target: &str,
) -> (Bench, Server, postroom_practice::Maildrop) {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let drop = maildrop(&identity, vec![mail("one")]).await;
    let server = Server::start(&identity, answer).await;
    std::fs::copy(fetcher(), bench.path("fetcher.wasm")).expect("a copy");
    bench.secret("crm", CANARY);
    bench.config(&format!(
        "{}[fetch.crm]\nurl = \"https://localhost:{}/api\"\nbearer = {{ file = \"crm\" }}\nca_file = \"ca.pem\"\n{target}\n\
         [[pipelines.main.steps]]\nplugin = \"./fetcher.wasm\"\ngrants = {{ fetch = [\"crm\"] }}\n\
         settings = {{ mode = \"{calls}\" }}\non_error = {{ then = \"skip\" }}\n{ARCHIVE}",
        account("home", drop.addr().port(), ""),
        server.port,
    ));
    (bench, server, drop)
}

const HERE: &str = "private = [\"127.0.0.0/8\", \"::1\"]";

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_answered_and_nothing_shows_where_it_asked_or_with_what() {
    let (bench, server, _drop) = stand("get crm people/1?mail=a%40field.example", FOUND, HERE).await;
    let run = bench.postroom(&["--log", "trace", "once"]).await;
    run.expect(0);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("GET /api/people/1?mail=a%40field.example HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&format!("Bearer {CANARY}")));
    let why = bench.postroom(&["queue", "ls", "--json"]).await;
    let shown = format!("{}{}{}{}", run.stdout, run.stderr, why.stdout, why.stderr);
    assert!(!shown.contains(CANARY), "the credential is shown");
    let logged: Vec<_> = run.stderr.lines().filter(|line| line.contains("fetched")).collect();
    assert!(logged.iter().any(|line| line.contains("localhost") && line.contains("200")), "{logged:?}");
    assert!(logged.iter().all(|line| !line.contains("people") && !line.contains("a%40")), "{logged:?}");
    assert_eq!(bench.names("vault").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_out_of_reach_until_the_operator_names_it_and_mail_goes_on() {
    let (bench, server, _drop) = stand("get crm people/1", FOUND, "").await;
    let run = bench.postroom(&["once"]).await;
    run.expect(0);
    assert_eq!(server.asked().len(), 0);
    assert!(run.stderr.contains("loopback address"), "{}", run.stderr);
    assert_eq!(bench.names("vault").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_calls_nobody_unless_it_is_told_to() {
    let (bench, server, _drop) = stand("get crm people/1", FOUND, HERE).await;
    bench.write("one.eml", mail("one"));
    bench.postroom(&["try", "one.eml"]).await.expect(0).says(&["makes no calls unless `--fetch` is given"]);
    assert_eq!(server.asked().len(), 0);
    bench.postroom(&["try", "--fetch", "one.eml"]).await.expect(0).says(&["200 3 octets \"Ann\""]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let moved = "HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (bench, server, _drop) = stand("get crm people/1", moved, HERE).await;
    bench.write("one.eml", mail("one"));
    let run = bench.postroom(&["try", "--fetch", "one.eml"]).await;
    run.expect(0).says(&["301 0 octets"]);
    assert_eq!(server.asked().len(), 1);
    assert!(!run.stdout.contains("127.0.0.1"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_a_target_that_is_not_there_is_refused_with_what_was_meant() {
    let (bench, _server, _drop) = stand("get crm people/1", FOUND, HERE).await;
    let text = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
    bench.write("postroom.toml", text.replace("fetch = [\"crm\"]", "fetch = [\"crn\"]"));
    bench.run(&["check"]).expect(78).says(&["there is no target `crn` to fetch from", "did you mean `crm`?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_hears_what_its_step_was_answered_and_asks_nobody() {
    let (bench, server, drop) = stand("get crm people/1", FOUND, HERE).await;
    let text = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
    let with = |mode: &str| {
        let shadow =
            format!("shadow = \"./fetcher.wasm\"\nshadow_settings = {{ mode = \"{mode}\" }}\non_error");
        bench.write("postroom.toml", text.replace("on_error", &shadow));
    };
    with("get crm people/1");
    bench.postroom(&["once"]).await.expect(0);
    let report = bench.postroom(&["plugin", "shadow", "fetcher", "--json"]).await.json()[0]["report"].clone();
    assert_eq!((report["same"].as_u64(), report["unknown"].as_u64()), (Some(1), Some(0)), "{report:#}");
    with("get crm people/2");
    drop.add("user", mail("two"));
    bench.postroom(&["once"]).await.expect(0);
    let report = bench.postroom(&["plugin", "shadow", "fetcher", "--json"]).await.json()[0]["report"].clone();
    let counts = ["same", "different", "unknown"].map(|count| report[count].as_u64());
    assert_eq!(counts, [Some(0), Some(0), Some(1)], "{report:#}");
    assert_eq!(server.asked().len(), 2, "one for each message, of the step that decides");
}
