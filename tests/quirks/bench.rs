//! Runs scenarios: the real host with a real spool in a private directory against a scripted server, and compares.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use postroom::config::{Config, Environment, PLAINTEXT_CONSENT};
use postroom::live::Live;
use postroom::progress::Observer;
use postroom::supervise::{self, Host};
use postroom_mail::Digest;
use postroom_practice::{Authority, CertificateKind};
use postroom_sandbox::{Sandbox, SandboxConfig};
use postroom_spool::SqliteSpool;
use postroom_tests::scripted::{Certificate, Security, Server, SessionLog};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::scenario::{Outcome, Scenario, fits};

/// The authority that accounts trust.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().expect("an authority"));

/// A good certificate for `localhost`.
pub(crate) static GOOD: LazyLock<Certificate> = LazyLock::new(|| {
    let identity = AUTHORITY.issue(CertificateKind::Good).expect("a certificate");
    Certificate::of(&identity).expect("a certificate")
});

/// No scenario takes so long.
const LONGEST: Duration = Duration::from_secs(60);
/// Scenarios under way at once; most of them wait for a time limit or the disk.
const AT_ONCE: usize = 24;

/// A runtime as the program makes it.
pub(crate) fn runtime() -> Runtime {
    const STACK: usize = 8 << 20;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .expect("a runtime")
}

/// Runs them all side by side and fails at the end with everything that was not as it must be.
pub(crate) fn run(scenarios: Vec<Scenario>) {
    let started = Instant::now();
    let total = scenarios.len();
    let outcomes: Vec<_> = runtime().block_on(async {
        let runs = scenarios.into_iter().map(|scenario| async {
            let name = scenario.name;
            let begun = Instant::now();
            let task = tokio::spawn(async move { tokio::time::timeout(LONGEST, perform(&scenario)).await });
            let problems = match task.await {
                Ok(Ok(problems)) => problems,
                Ok(Err(_)) => vec![format!("not over after {} s", LONGEST.as_secs())],
                Err(panic) => vec![format!("{panic}")],
            };
            (name, problems, begun.elapsed())
        });
        futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await
    });
    let mut wrong = String::new();
    for (name, problems, took) in outcomes {
        let millis = took.as_millis();
        if problems.is_empty() {
            println!("ok     {name} ({millis} ms)");
        } else {
            println!("WRONG  {name} ({millis} ms)");
            wrong.push_str(&format!("{name}:\n    {}\n", problems.join("\n    ")));
        }
    }
    println!("{total} scenarios in {} ms", started.elapsed().as_millis());
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Runs one; what was not as it must be.
async fn perform(scenario: &Scenario) -> Vec<String> {
    let bench = Bench::new(scenario.password);
    let server = Server::start(scenario.script.clone()).await.expect("a server");
    let mut problems = Vec::new();
    let mut host = None;
    for poll in 1..=scenario.polls {
        if let Some(change) = scenario.between.get(&poll) {
            server.change(change);
        }
        if scenario.restarts {
            host = None;
        }
        let text = configuration(scenario, poll, server.addr().port());
        let report = match bench.poll(&mut host, &text).await {
            Ok(report) => report,
            Err(error) => return vec![error],
        };
        if let Some(part) =
            scenario.warning.filter(|part| poll == 1 && lacking(&[part], &report.to_string()).is_some())
        {
            problems.push(format!("the report does not warn of {part:?}: {report}"));
        }
        problems.extend(judge(poll, scenario.outcomes.get(&poll), &report));
        if !server.settled().await {
            problems.push(format!("poll {poll} left a connection open"));
        }
    }
    drop(host);
    problems.extend(compare(scenario, &bench, &server));
    if !problems.is_empty() {
        let log: Vec<String> = server.log().iter().map(|session| format!("{session:?}")).collect();
        problems.push(format!("sessions: {}", log.join(" | ")));
    }
    problems
}

fn configuration(scenario: &Scenario, poll: u32, port: u16) -> String {
    let own = match &scenario.script.security {
        Security::Plain => "none",
        Security::Stls(_) => "starttls",
        Security::Implicit(_) => "implicit",
    };
    let tls = scenario.tls.unwrap_or(own);
    let mut account = scenario.account.join("\n");
    match &scenario.delete {
        Some((from, policy)) if poll >= *from => account.push_str(&format!("\ndelete = {policy}")),
        _ => {}
    }
    configured(&scenario.top, scenario.host, port, tls, scenario.user, &account)
}

/// A configuration with one account whose mail is archived byte for byte.
pub(crate) fn configured(top: &str, host: &str, port: u16, tls: &str, user: &str, account: &str) -> String {
    let consent =
        if tls == "none" { format!("insecure_plaintext = \"{PLAINTEXT_CONSENT}\"") } else { String::new() };
    let token = account.contains("xoauth2") || account.contains("oauthbearer");
    let login = match token {
        true => "oauth2 = { command = [\"cat\", \"password\"] }",
        false => "password = { file = \"password\" }",
    };
    let timeout = if account.contains("timeout = ") { "" } else { "timeout = \"1s\"" };
    format!(
        r#"state = "state"
{top}
[accounts.box]
host = "{host}"
port = {port}
tls = "{tls}"
{consent}
user = "{user}"
{login}
ca_file = "ca.pem"
{timeout}
{account}
[sinks.vault]
type = "directory"
path = "vault"
[[pipelines.main.steps]]
plugin = "archive"
grants = {{ sinks = ["vault"] }}
settings = {{ sink = "vault", key = "{{sha256}}-{{id:12}}.eml" }}
"#
    )
}

/// A private directory and the host that runs in it.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new(password: &str) -> Self {
        use std::io::Write;
        let dir = TempDir::new().expect("a directory");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(dir.path().join("password"))
            .expect("a file");
        file.write_all(password.as_bytes()).expect("a password");
        AUTHORITY.write_pem(&dir.path().join("ca.pem")).expect("a certificate");
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// One poll as `postroom once` does it; the account's report, or why there is none.
    pub(crate) async fn poll(&self, host: &mut Option<Arc<Host>>, text: &str) -> Result<Value, String> {
        let file = self.dir.path().join("postroom.toml");
        std::fs::write(&file, text).expect("a configuration");
        let config = Config::load_in(&file, &Environment::default())
            .map_err(|error| format!("configuration: {error}"))?;
        let host = match host {
            Some(host) => {
                let live = Live::build(config, &host.sandbox).map_err(|error| error.to_string())?;
                host.live.store(Arc::new(live));
                Arc::clone(host)
            }
            None => {
                let state = config.state.clone();
                let built = tokio::task::spawn_blocking(move || -> Result<_, String> {
                    let spool = SqliteSpool::open(&state).map_err(|error| error.to_string())?;
                    let sandbox = sandbox();
                    let live = Live::build(config, &sandbox).map_err(|error| error.to_string())?;
                    Ok(Host::new(live, Arc::new(spool), sandbox, Observer::none()))
                });
                Arc::clone(host.insert(built.await.expect("joins")?))
            }
        };
        let summary = supervise::once(&host).await.map_err(|error| format!("the spool failed: {error}"))?;
        let summary = serde_json::to_value(&summary).expect("JSON");
        Ok(summary["accounts"]["box"].clone())
    }

    /// Digests of what the sink holds, with how often each occurs.
    pub(crate) fn stored(&self) -> BTreeMap<Digest, usize> {
        let mut digests = BTreeMap::new();
        for file in files(&self.dir.path().join("vault")) {
            *digests.entry(Digest::of(&std::fs::read(&file).expect("a file"))).or_default() += 1;
        }
        digests
    }
}

/// A sandbox that shares what was compiled with all others.
fn sandbox() -> Sandbox {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&cache).expect("the cache");
    Sandbox::new(&SandboxConfig { cache_dir: Some(cache), concurrency: 6, fuel: false }).expect("a sandbox")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// What a report says that it should not, and the other way round.
fn judge(poll: u32, wanted: Option<&Outcome>, report: &Value) -> Vec<String> {
    let fine = Outcome::default();
    let wanted = wanted.unwrap_or(&fine);
    let mut problems = Vec::new();
    let mut problem = |text: String| problems.push(format!("poll {poll}: {text}"));
    if wanted.any {
        return problems;
    }
    let error = report["error"].as_str();
    let refused = report["refused"].to_string();
    if !wanted.somewhere.is_empty() {
        let text = format!("{} {refused}", error.unwrap_or(""));
        if let Some(part) = lacking(&wanted.somewhere, &text) {
            problem(format!("neither error nor refusal names {part:?}: {text}"));
        }
        return problems;
    }
    match (&wanted.error, error) {
        (None, Some(error)) => problem(format!("failed: {error}")),
        (Some(parts), None) => problem(format!("succeeded, but had to fail with {parts:?}")),
        (Some(parts), Some(error)) => {
            if let Some(part) = lacking(parts, error) {
                problem(format!("the error lacks {part:?}: {error}"));
            }
        }
        (None, None) => {}
    }
    let person = report["needs_a_person"] == Value::Bool(true);
    if person != wanted.person && !wanted.either {
        problem(format!("needs a person: {person} ({})", error.unwrap_or("no error")));
    }
    let hint = report["hint"].as_str().unwrap_or("");
    if let Some(part) = lacking(&wanted.hint, hint) {
        problem(format!("the hint lacks {part:?}: {hint}"));
    }
    if let Some(part) = lacking(&wanted.refused, &refused) {
        problem(format!("what was refused lacks {part:?}: {refused}"));
    }
    if wanted.refused.is_empty() && wanted.error.is_none() && report["refused"] != Value::Array(Vec::new()) {
        problem(format!("refused {refused}"));
    }
    if wanted.held != report["held"].is_string() {
        problem(format!("held: {}", report["held"]));
    }
    problems
}

fn lacking<'p>(parts: &[&'p str], text: &str) -> Option<&'p str> {
    let text = text.to_lowercase();
    parts.iter().find(|part| !text.contains(&part.to_lowercase())).copied()
}

fn compare(scenario: &Scenario, bench: &Bench, server: &Server) -> Vec<String> {
    let mut problems = Vec::new();
    let stored = bench.stored();
    let mut wanted: BTreeMap<Digest, usize> = BTreeMap::new();
    for octets in &scenario.stored {
        *wanted.entry(Digest::of(octets)).or_default() += 1;
    }
    if stored != wanted {
        let count = |of: &BTreeMap<Digest, usize>| of.values().sum::<usize>();
        let lacks = wanted.iter().filter(|(digest, times)| stored.get(digest).unwrap_or(&0) < times).count();
        let extra = stored.iter().filter(|(digest, times)| wanted.get(digest).unwrap_or(&0) < times).count();
        problems.push(format!(
            "stored {} messages instead of {}: {lacks} lacking, {extra} too many or not as sent",
            count(&stored),
            count(&wanted)
        ));
    }
    let left: Vec<Vec<u8>> = server.messages().into_iter().map(|message| message.uidl).collect();
    if !scenario.any_left && left != scenario.left {
        let text = |uidls: &[Vec<u8>]| {
            format!(
                "{:?}",
                uidls.iter().map(|uidl| String::from_utf8_lossy(uidl).into_owned()).collect::<Vec<_>>()
            )
        };
        problems.push(format!("the server holds {} instead of {}", text(&left), text(&scenario.left)));
    }
    let log = server.log();
    problems.extend(lost(&log, &stored));
    let letters: String = log.iter().map(|session| session.end.letter()).collect();
    let usual = "Q".repeat(usize::try_from(scenario.polls).expect("few"));
    let pattern = scenario.ended.unwrap_or(&usual);
    if !fits(pattern.as_bytes(), letters.as_bytes()) {
        problems.push(format!("the sessions ended {letters:?} instead of {pattern:?}"));
    }
    let verbs: Vec<String> = log.iter().flat_map(SessionLog::verbs).collect();
    for (verb, times) in &scenario.asked {
        let count = verbs.iter().filter(|sent| sent == verb).count();
        if count != *times {
            problems.push(format!("{verb} was sent {count} times instead of {times}"));
        }
    }
    for (verb, times) in &scenario.at_most {
        let count = verbs.iter().filter(|sent| sent == verb).count();
        if count > *times {
            problems.push(format!("{verb} was sent {count} times, at most {times} would do"));
        }
    }
    if let Some(name) = scenario.server_name {
        problems.extend(
            log.iter()
                .filter(|session| session.server_name.as_deref() != Some(name))
                .map(|session| format!("the handshake asked for {:?}", session.server_name)),
        );
    }
    let has = |part: &str| log.iter().any(|session| session.has(part.as_bytes()));
    problems
        .extend(scenario.sent.iter().filter(|part| !has(part)).map(|part| format!("never sent {part:?}")));
    problems.extend(scenario.never.iter().filter(|part| has(part)).map(|part| format!("sent {part:?}")));
    problems
}

/// The rule above all: whatever the server removed because it was asked to is stored.
pub(crate) fn lost(log: &[SessionLog], stored: &BTreeMap<Digest, usize>) -> Vec<String> {
    let removed = log.iter().flat_map(|session| &session.removed);
    let gone = removed.filter(|message| !stored.contains_key(&Digest::of(&message.octets)));
    gone.map(|message| format!("LOST {:?}", String::from_utf8_lossy(&message.uidl))).collect()
}
