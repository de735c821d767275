//! The configuration that `postroom init` writes: short, commented, and right as it is.

/// What `init` has to know.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Name of the account: letters, digits, `-` and `_`.
    pub account: String,
    /// POP3 server.
    pub host: String,
    /// Who logs in.
    pub user: String,
    /// File with the password, relative to the configuration.
    pub secret: String,
    /// Directory for the archive, relative to the configuration.
    pub archive: String,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            account: "home".to_owned(),
            host: "pop.example.net".to_owned(),
            user: "me@example.net".to_owned(),
            secret: "secrets/home".to_owned(),
            archive: "mail".to_owned(),
        }
    }
}

/// The text of the file. Whatever the answers are, they stay inside of their quotes.
pub fn render(answers: &Answers) -> String {
    let Answers { account, host, user, secret, archive } = answers;
    let [host, user, secret, archive] = [host, user, secret, archive].map(|text| quoted(text));
    let account = key(account);
    format!(
        r#"# Postroom. Check this file with `postroom check`; `postroom check --online` also logs in.
# A typing mistake is reported with its line; nothing starts with a wrong file.

# Where mail is retrieved from.
[accounts.{account}]
host = {host}
user = {user}
# The password is on one line in this file, which only you may read (chmod 600).
password = {{ file = {secret} }}
# port = 995            # with TLS; for STARTTLS: tls = "starttls", port 110
# poll = "5m"
# Mail stays on the server. To delete it 7 days after it was archived:
# delete = {{ when = "done", after = "7d" }}

# When there is no room for more here, mail stays on the server; these are the defaults:
# [limits]
# free_space = "256 MiB"    # of the disk under `state` is left free
# spool = "10 GiB"          # of mail waits for its sinks at most,
# waiting = 100000          # and so many messages
# in_flight = "256 MiB"     # of mail arrive at once, over all sessions

# Where mail goes.
[sinks.archive]
type = "directory"
path = {archive}

# What happens to every message, in this order. A step can only do what it is granted here.
[[pipelines.main.steps]]
plugin = "archive"
grants = {{ sinks = ["archive"] }}
settings = {{ sink = "archive", key = "{{account}}/{{date:%Y/%m/%d}}/{{sha256:16}}.eml" }}

# Attachments, for example for a document system:
# [[pipelines.main.steps]]
# plugin = "attachments"
# grants = {{ sinks = ["archive"] }}
# settings = {{ sink = "archive", include = ["*.pdf"] }}
# required = false      # deletion at the server need not wait for it
"#
    )
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// A TOML key, bare when it can be.
fn key(text: &str) -> String {
    toml_edit::Key::new(text).to_string()
}
