//! A private directory with a configuration, the real binary run in it, and what it left behind.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use postroom_mail::Digest;
use postroom_practice::maildrop::MaildropConfig;
use postroom_practice::{Authority, CertificateKind, Identity, Maildrop, Security};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse";

/// Where the binary under test runs.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    /// An empty directory. The cache of compiled plugins is shared between tests; nothing else is.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let shared = caches().join("postroom/compiled");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&shared).expect("the shared cache");
        std::fs::DirBuilder::new().mode(0o700).create(dir.path().join("state")).expect("the state directory");
        symlink(&shared, dir.path().join("state/compiled")).expect("the link to the cache");
        let bench = Self { dir };
        bench.secret("password", PASSWORD);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn secret(&self, name: &str, text: &str) {
        use std::io::Write;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name));
        file.expect("a secret").write_all(text.as_bytes()).expect("a secret");
    }

    /// The configuration; its state is where the shared cache is linked in, unless it says otherwise.
    pub(crate) fn config(&self, text: &str) {
        let state = if text.contains("\nstate = ") || text.starts_with("state = ") {
            ""
        } else {
            "state = \"state\"\n"
        };
        self.write("postroom.toml", format!("{state}{text}"));
    }

    /// The binary with this bench's configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom-host"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("POSTROOM_CONFIG").env_remove("POSTROOM_LOG").env_remove("STATE_DIRECTORY");
        command.env("XDG_CACHE_HOME", caches());
        command
    }

    /// Runs it to the end. Blocks: call it through [`off_thread`] where servers run on the same runtime.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().expect("the binary runs"))
    }

    /// Runs it to the end while servers of this runtime answer.
    pub(crate) async fn postroom(&self, args: &[&str]) -> Run {
        let mut command = self.command(args);
        Run::of(
            tokio::task::spawn_blocking(move || command.output())
                .await
                .expect("joins")
                .expect("the binary runs"),
        )
    }

    /// `once --json`, which must print one document.
    pub(crate) async fn once(&self) -> (Run, Value) {
        let run = self.postroom(&["once", "--json"]).await;
        let document = run.json();
        (run, document)
    }

    /// Digests of all files below a directory, with how often each occurs.
    pub(crate) fn digests(&self, directory: &str) -> BTreeMap<Digest, usize> {
        let mut digests = BTreeMap::new();
        for file in files(&self.path(directory)) {
            *digests.entry(Digest::of(&std::fs::read(&file).expect("a file"))).or_default() += 1;
        }
        digests
    }

    /// The files below a directory, relative to it, sorted.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let root = self.path(directory);
        let relative =
            |file: PathBuf| file.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
        files(&root).into_iter().map(relative).collect()
    }
}

/// The user's caches, as far as the binary is told: the tests', which they share.
pub(crate) fn caches() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches")
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self:#?}"))
    }

    /// Fails with everything that was printed unless the code is `code`.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails with everything that was printed unless all of these were.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(all.contains(word), "{word:?} is not in what was printed:\n{all}");
        }
        self
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// An authority whose certificate the bench trusts as `ca.pem`, and a good server identity of it.
pub(crate) fn authority(bench: &Bench) -> (Authority, Identity) {
    let authority = Authority::new().expect("an authority");
    authority.write_pem(&bench.path("ca.pem")).expect("its certificate");
    let identity = authority.issue(CertificateKind::Good).expect("a certificate");
    (authority, identity)
}

/// A practice maildrop over implicit TLS with one account, `user`.
pub(crate) async fn maildrop(identity: &Identity, messages: Vec<Vec<u8>>) -> Maildrop {
    let config =
        MaildropConfig::new(Security::Implicit(identity.clone())).account("user", PASSWORD, messages);
    Maildrop::start(config).await.expect("a maildrop")
}

/// The `[accounts.NAME]` section for a server on loopback.
pub(crate) fn account(name: &str, port: u16, more: &str) -> String {
    format!(
        "[accounts.{name}]\nhost = \"localhost\"\nport = {port}\nuser = \"user\"\npassword = {{ file = \"password\" }}\n\
         ca_file = \"ca.pem\"\ntimeout = \"10s\"\n{more}\n"
    )
}

/// A directory sink `vault` and a pipeline that archives everything into it, byte for byte.
pub(crate) const ARCHIVE: &str = r#"
[sinks.vault]
type = "directory"
path = "vault"
[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault", key = "{account}/{sha256}.eml" }
"#;

/// A small plain mail with CRLF line ends.
pub(crate) fn mail(subject: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "From: a@field.example\r\nTo: user@home.example\r\nSubject: {subject}\r\nMessage-ID: <{id}@field.example>\r\n\r\nHello.\r\n"
    )
    .into_bytes()
}
