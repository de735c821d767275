//! Two daemons with state directories of their own on one maildrop of one machine: one of them works, the other waits for
//! its end, however that comes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroom_mail::Digest;
use postroom_practice::Maildrop;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A running daemon and what it said.
struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Daemon {
    /// `run` in `bench`, with the machine's lock directory in `shared`.
    fn start(bench: &Bench, shared: &Path) -> Self {
        let mut command = bench.command(&["run"]);
        command.env("XDG_RUNTIME_DIR", shared).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let stderr = child.stderr.take().expect("piped");
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut heard = heard.lock().expect("not poisoned");
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }

    fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
        let status = self.child.wait().expect("ends");
        assert_eq!(status.success(), signal == Signal::TERM, "{status}: {}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so; fails with what both said when it does not become so.
async fn until(what: &str, daemons: &[&Daemon], mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !so() {
        if Instant::now() > deadline {
            let said: Vec<_> = daemons.iter().map(|daemon| daemon.said()).collect();
            panic!("{what} did not happen within {LIMIT:?}:\n{}", said.join("\n--- the other:\n"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One maildrop and two benches that poll it every second and write into sinks of their own.
struct Stand {
    shared: TempDir,
    benches: [Bench; 2],
    server: Maildrop,
    daemons: Vec<Daemon>,
}

impl Stand {
    async fn new() -> Self {
        let shared = TempDir::new().expect("a directory");
        let benches = [Bench::new(), Bench::new()];
        let (ours, identity) = authority(&benches[0]);
        ours.write_pem(&benches[1].path("ca.pem")).expect("its certificate");
        let server = maildrop(&identity, (0..10).map(|number| mail(&number.to_string())).collect()).await;
        let policy = "poll = \"1s\"\ndelete = { when = \"done\", after = \"0s\" }";
        for bench in &benches {
            bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), policy)));
        }
        let mut stand = Self { shared, benches, server, daemons: Vec::new() };
        stand.start(0);
        stand.arrived(10).await;
        stand.start(1);
        let second = &stand.daemons[1];
        until("the second says who has the maildrop", &[second], || {
            let said = second.said();
            said.contains("is handled already, by the process")
        })
        .await;
        assert!(stand.daemons[1].said().contains(&stand.daemons[0].child.id().to_string()));
        stand
    }

    fn start(&mut self, which: usize) {
        self.daemons.push(Daemon::start(&self.benches[which], self.shared.path()));
    }

    /// Waits until so many messages are in the sinks of both together.
    async fn arrived(&self, count: usize) {
        let daemons: Vec<_> = self.daemons.iter().collect();
        until("all mail arriving", &daemons, || {
            let arrived: usize = self.benches.iter().map(|bench| bench.names("vault").len()).sum();
            arrived >= count
        })
        .await;
    }

    /// Ten messages more.
    fn deliver(&self, from: usize) {
        for number in from..from + 10 {
            self.server.add("user", mail(&number.to_string()));
        }
    }

    /// Every message is in one sink, once, and was asked for once.
    fn each_once(&self, count: usize) {
        let mut all: BTreeMap<Digest, usize> = BTreeMap::new();
        for bench in &self.benches {
            for (digest, times) in bench.digests("vault") {
                *all.entry(digest).or_default() += times;
            }
        }
        assert!(all.values().all(|&times| times == 1), "handled twice: {all:?}");
        assert_eq!(all.len(), count);
        assert_eq!(self.server.stats().account("user").retrieved_again(), Vec::<String>::new());
    }
}

async fn the_second_takes_over_after(signal: Signal) {
    let mut stand = Stand::new().await;
    stand.deliver(10);
    stand.arrived(20).await;
    assert_eq!(stand.benches[1].names("vault").len(), 0, "the second keeps out");
    let deleted = || stand.server.stats().account("user").deleted.len();
    until("the deletion of all of it", &[&stand.daemons[0]], || deleted() == 20).await;
    stand.daemons[0].end(signal);
    stand.deliver(20);
    stand.arrived(30).await;
    assert_eq!(stand.benches[1].names("vault").len(), 10, "the second has taken over");
    stand.each_once(30);
    stand.daemons[1].end(Signal::TERM);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_daemon_on_a_maildrop_waits_and_takes_over_when_the_first_ends() {
    the_second_takes_over_after(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_daemon_takes_over_when_the_first_is_killed() {
    the_second_takes_over_after(Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_daemon_takes_over_at_once_when_its_configuration_is_written_anew() {
    let mut stand = Stand::new().await;
    let deleted = || stand.server.stats().account("user").deleted.len();
    until("the deletion of all of it", &[&stand.daemons[0]], || deleted() == 10).await;
    stand.daemons[0].end(Signal::KILL);
    stand.deliver(10);
    let config = std::fs::read_to_string(stand.benches[1].path("postroom.toml")).expect("the configuration");
    stand.benches[1].write("postroom.toml", config.replace("poll = \"1s\"", "poll = \"2s\""));
    stand.arrived(20).await;
    stand.each_once(20);
    stand.daemons[1].end(Signal::TERM);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_daemon_keeps_its_maildrop_and_goes_on_when_it_is_woken() {
    let mut stand = Stand::new().await;
    let pid = Pid::from_child(&stand.daemons[0].child);
    kill_process(pid, Signal::STOP).expect("paused");
    stand.deliver(10);
    // A third that asks anew is told who has it, although that one does nothing now.
    stand.daemons[1].end(Signal::TERM);
    stand.start(1);
    let third = &stand.daemons[2];
    until("the third says who has the maildrop", &[third], || {
        third.said().contains("is handled already, by the process")
    })
    .await;
    assert_eq!(stand.benches[1].names("vault").len(), 0);
    kill_process(pid, Signal::CONT).expect("woken");
    stand.arrived(20).await;
    assert_eq!(stand.benches[0].names("vault").len(), 20, "the first goes on");
    stand.each_once(20);
    stand.daemons[0].end(Signal::TERM);
}
