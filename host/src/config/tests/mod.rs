//! What is shared: a configuration that loads, and the ways to load a changed one.

mod defaults;
mod files;
mod mistakes;
mod shown;
mod together;

use super::*;

const CANARY: &str = "canary-hunter2-7f3a";

/// What most cases start from; a case replaces a part of it.
const GOOD: &str = r#"[accounts.home]
host = "pop.example.net"
user = "me@example.net"
password = { file = "secrets/home" }

[sinks.vault]
type = "directory"
path = "mail"

[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault" }
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new(main: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("postroom.toml", main.as_bytes());
        files
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load_in(&self.path("postroom.toml"), &Environment::new(variables))
    }

    /// The text of the mistakes, the directory taken out; this, the JSON form and `Debug` are searched for the canary.
    #[track_caller]
    fn mistakes(&self, variables: &[(&str, &str)]) -> String {
        let Err(errors) = self.load(variables) else { panic!("it loads") };
        let text = errors.to_string();
        for shown in [&text, &format!("{errors:?}"), &serde_json::to_string(&errors).unwrap()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[track_caller]
fn load(text: &str) -> Config {
    Files::new(text).load(&[]).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[track_caller]
fn before_user(line: &str) -> String {
    with("user =", &format!("{line}\nuser ="))
}

#[track_caller]
fn before_grants(line: &str) -> String {
    with("grants =", &format!("{line}\ngrants ="))
}
