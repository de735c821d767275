//! A running host follows its files: a good change is swapped in, a bad one leaves the old running and says why. And one
//! sink that is stuck holds up no other.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, channel};
use std::time::{Duration, Instant};

use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::{Receiver, ReceiverConfig, Security, Times};
use rustix::process::{Pid, Signal};

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

/// A running host and its log, line by line.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    heard: RefCell<Vec<String>>,
}

impl Running {
    pub(crate) fn start(bench: &Bench) -> Self {
        Self::of(&mut bench.command(&["run"]))
    }

    /// Any verb that says on its error output what it does.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let stderr: ChildStderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { child, lines, heard: RefCell::default() }
    }

    /// Waits for a line with these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut heard = self.heard.borrow_mut();
        let before = heard.len();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(words);
                    heard.push(line);
                    if found {
                        return;
                    }
                }
                Err(error) => panic!("{words:?} was not said ({error}):\n{}", heard[before..].join("\n")),
            }
        }
    }

    /// Everything it said, once it has ended.
    pub(crate) fn all(&self) -> String {
        let mut heard = self.heard.borrow_mut();
        heard.extend(self.lines.iter());
        heard.join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.child.wait().expect("ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_is_swapped_in_and_a_bad_one_leaves_the_old_running() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let good = format!("{}{ARCHIVE}", account("home", server.addr().port(), "poll = \"1s\""));
    bench.config(&good);
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");

        bench.config(&good.replace("[sinks.vault]", "[sinks.valt]"));
        running.says("the change was not taken");
        running.says("valt");
        server.add("user", mail("two"));
        running.says("retrieved=1");

        bench.config(&good.replace("path = \"vault\"", "path = \"other\""));
        running.says("are running now");
        server.add("user", mail("three"));
        running.says("retrieved=1");
        running.stop();
        assert_eq!(bench.names("vault").len(), 2, "the old configuration went on");
        assert_eq!(bench.names("other").len(), 1, "the new one took over");
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_plugin_file_is_checked_before_it_is_swapped_in() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let archive = postroom_bundled("archive");
    bench.write("mine.wasm", archive);
    let own = ARCHIVE.replace("plugin = \"archive\"", "plugin = \"./mine.wasm\"");
    bench.config(&format!("{}{own}", account("home", server.addr().port(), "poll = \"1s\"")));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        bench.write("mine.wasm", b"half a fi");
        running.says("the change was not taken");
        server.add("user", mail("two"));
        running.says("retrieved=1");
        // Written whole and renamed over, as an installer does.
        bench.write("new.wasm", archive);
        std::fs::rename(bench.path("new.wasm"), bench.path("mine.wasm")).expect("a rename");
        running.says("are running now");
        server.add("user", mail("three"));
        running.says("retrieved=1");
        running.stop();
        assert_eq!(bench.names("vault").len(), 3);
    })
    .await
    .expect("the test");
}

const SIEVE: &str = r#"
[sinks.home]
type = "maildir"
path = "home"
[[pipelines.main.steps]]
plugin = "sieve"
files = { script = "home.sieve" }
grants = { sinks = ["home"] }
settings = { mailboxes = { sink = "home" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_script_is_taken_up_and_one_with_a_mistake_is_not() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.write("home.sieve", "require \"fileinto\"; fileinto \"First\";");
    bench.config(&format!("{}{SIEVE}", account("home", server.addr().port(), "poll = \"1s\"")));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        eventually(|| bench.names("home/.First/new").len() == 1);

        bench.write("home.sieve", "require \"fileinto\";\n fileinto First;");
        running.says("the change was not taken");
        running.says("line 2, column 11: ");
        server.add("user", mail("two"));
        eventually(|| bench.names("home/.First/new").len() == 2);

        bench.write("home.sieve", "require \"fileinto\"; fileinto \"Second\";");
        running.says("are running now");
        server.add("user", mail("three"));
        eventually(|| bench.names("home/.Second/new").len() == 1);
        running.stop();
    })
    .await
    .expect("the test");
}

fn postroom_bundled(name: &str) -> &'static [u8] {
    postroom_bundle::bundled(name).expect("bundled")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_says_nothing_holds_up_no_other() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let receiver = Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await;
    let receiver = receiver.expect("a receiver");
    receiver.inject(ReceiverFault::Silent(Stage::Greeting), Times::Always);
    let relay = format!(
        "[sinks.relay]\ntype = \"smtp\"\nhost = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\n\
         [[pipelines.main.steps]]\nplugin = \"forward\"\ngrants = {{ sinks = [\"relay\"] }}\n\
         settings = {{ sink = \"relay\", to = [\"you@elsewhere.example\"] }}\n",
        receiver.addr().port()
    );
    bench.config(&format!("{}{ARCHIVE}{relay}", account("home", server.addr().port(), "poll = \"1s\"")));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        for (count, subject) in [(1, "two"), (2, "three"), (3, "four")] {
            eventually(|| bench.names("vault").len() == count);
            server.add("user", mail(subject));
        }
        eventually(|| bench.names("vault").len() == 4);
        assert_eq!(receiver.accepted().len(), 0);
    })
    .await
    .expect("the test");
}

/// Waits for what another process does, at most a minute.
#[track_caller]
pub(crate) fn eventually(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
