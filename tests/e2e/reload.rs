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
grants = { sinks = ["home"], kv = true }
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

/// A host on a maildrop of its own whose one step runs this plugin, once it is told that it runs.
async fn with_plugin(plugin: &str, prepare: impl FnOnce(&Bench)) -> (Bench, postroom_practice::Maildrop) {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    prepare(&bench);
    let own = ARCHIVE.replace("plugin = \"archive\"", &format!("plugin = \"{plugin}\""));
    bench.config(&format!("{}{own}", account("home", server.addr().port(), "poll = \"1s\"")));
    (bench, server)
}

/// Puts octets in a file's place as an installer does.
fn install(bench: &Bench, name: &str, octets: &[u8]) {
    bench.write("incoming", octets);
    std::fs::rename(bench.path("incoming"), bench.path(name)).expect("a rename");
}

/// The bundled plugin in other octets.
fn another(version: &str) -> Vec<u8> {
    [postroom_bundled("archive"), &crate::versions::custom_section(version)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_or_a_device_in_the_place_of_a_plugin_holds_nothing_up() {
    let prepare = |bench: &Bench| drop(bench.write("mine.wasm", postroom_bundled("archive")));
    let (bench, server) = with_plugin("./mine.wasm", prepare).await;
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        let pipe = |name: &str| {
            let made = Command::new("mkfifo").arg(bench.path(name)).status().expect("mkfifo");
            assert!(made.success());
        };
        std::fs::create_dir(bench.path("conf.d")).expect("a directory");
        pipe("conf.d/README");
        pipe("pipe");
        std::fs::rename(bench.path("pipe"), bench.path("mine.wasm")).expect("a rename");
        running.says("the change was not taken");
        running.says("no regular file");
        install(&bench, "mine.wasm", postroom_bundled("archive"));
        running.says("are running now");
        std::os::unix::fs::symlink("/dev/zero", bench.path("zero")).expect("a link");
        std::fs::rename(bench.path("zero"), bench.path("mine.wasm")).expect("a rename");
        running.says("no regular file");
        let sparse = std::fs::File::create(bench.path("sparse")).expect("a file");
        sparse.set_len(8 << 30).expect("it is sparse");
        std::fs::rename(bench.path("sparse"), bench.path("mine.wasm")).expect("a rename");
        running.says("it has more than");
        server.add("user", mail("two"));
        running.says("retrieved=1");
        install(&bench, "mine.wasm", &another("two"));
        running.says("are running now");
        pipe("conf.d/10-more.toml");
        running.says("no regular file");
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_a_directory_is_followed_also_when_the_directory_is_made_again() {
    let prepare = |bench: &Bench| drop(bench.write("plug/mine.wasm", postroom_bundled("archive")));
    let (bench, server) = with_plugin("./plug/", prepare).await;
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        install(&bench, "plug/mine.wasm", &another("two"));
        running.says("are running now");
        std::fs::remove_dir_all(bench.path("plug")).expect("removed");
        running.says("the change was not taken");
        bench.write("plug/mine.wasm", another("three"));
        running.says("are running now");
        install(&bench, "plug/mine.wasm", &another("four"));
        running.says("are running now");
        bench.write("plug/mine.wasm", b"half a fi");
        running.says("the change was not taken");
        server.add("user", mail("two"));
        running.says("retrieved=1");
        running.stop();
        assert_eq!(bench.names("vault").len(), 2);
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_is_taken_once_the_file_it_lacks_is_there() {
    let (bench, _server) = with_plugin("archive", |_| {}).await;
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        std::fs::create_dir(bench.path("later")).expect("a directory");
        let text = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        let signed = "plugin = \"./later/new.wasm\"\nsigned_by = \"me\"";
        let changed = text.replace("plugin = \"archive\"", signed);
        bench.write("postroom.toml", format!("{changed}[keys]\nme = \"{}\"\n", pair.pk.to_base64()));
        running.says("the change was not taken");
        running.says("cannot read the plugin");
        bench.write("later/new.wasm", another("new"));
        running.says("must be signed by `me` and is not");
        let octets = std::io::Cursor::new(another("new"));
        let signature = minisign::sign(None, &pair.sk, octets, None, None).expect("a signature");
        bench.write("later/new.wasm.minisig", signature.to_string());
        running.says("are running now");
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
