//! `postroom demo`: the whole way of a message on this machine alone. Practice servers stand in for the provider and for the
//! receiving side; everything between them is the real host, with a real configuration that can be looked at afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom_practice::maildrop::{Lines, load_directory};
use postroom_practice::{
    Authority, CertificateKind, Maildrop, MaildropConfig, Receiver, ReceiverConfig, Security,
};
use postroom_spool::{EffectState, History, MessageState};

use super::output::{self, Table};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, once};
use crate::config::Config;
use crate::supervise::{Host, Summary};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything is written.
    #[arg(long, default_value = "postroom-demo", value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Messages to practise with [default: a dozen that come with postroom].
    #[arg(long, value_name = "DIRECTORY")]
    mail: Option<PathBuf>,
}

/// What the practice maildrop holds when nothing else is said.
const SAMPLES: [&[u8]; 12] = [
    include_bytes!("../../../examples/mail/01-welcome.eml"),
    include_bytes!("../../../examples/mail/02-invoice.eml"),
    include_bytes!("../../../examples/mail/03-newsletter.eml"),
    include_bytes!("../../../examples/mail/04-spam.eml"),
    include_bytes!("../../../examples/mail/05-umlauts.eml"),
    include_bytes!("../../../examples/mail/06-two-files-one-name.eml"),
    include_bytes!("../../../examples/mail/07-inline-logo.eml"),
    include_bytes!("../../../examples/mail/08-forwarded.eml"),
    include_bytes!("../../../examples/mail/09-dots.eml"),
    include_bytes!("../../../examples/mail/10-hostile-names.eml"),
    include_bytes!("../../../examples/mail/11-malformed.eml"),
    include_bytes!("../../../examples/mail/12-xml-invoice.eml"),
];

pub(super) fn demo(context: &Context, args: &Args) -> Outcome {
    let messages = match &args.mail {
        None => SAMPLES.iter().map(|octets| with_crlf(octets)).collect(),
        Some(directory) => {
            load_directory(directory, Lines::Crlf).map_err(|error| Failure::new(Exit::NoInput, error))?
        }
    };
    create(&args.dir.join("forwarded"))?;
    let dir = std::fs::canonicalize(&args.dir)?;
    // The servers need a runtime of their own: `once` brings the host's.
    let servers = setup::runtime()?;
    let practice = servers
        .block_on(Practice::start(&dir, messages))
        .map_err(|error| Failure::new(Exit::Software, error))?;
    let path = dir.join("postroom.toml");
    write(&path, &practice.configuration())?;
    let (host, summary) = once::perform(Config::load(&path)?)?;
    let histories = setup::runtime()?.block_on(histories(&host))?;
    let retrievals = practice.maildrop.stats().account(USER).retrievals();
    if context.json {
        output::json(&serde_json::json!({
            "directory": dir, "summary": summary, "messages": histories, "retrieved_from_server": retrievals,
        }))?;
    } else {
        print(&args.dir, &summary, &histories, retrievals);
    }
    Ok(once::exit(&summary))
}

/// The practice servers and what the host must know to reach them.
struct Practice {
    maildrop: Maildrop,
    receiver: Receiver,
}

impl Practice {
    async fn start(dir: &Path, messages: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        authority.write_pem(&dir.join("practice-ca.pem"))?;
        let identity = authority.issue(CertificateKind::Good)?;
        let maildrop =
            MaildropConfig::new(Security::Implicit(identity.clone())).account(USER, PASSWORD, messages);
        let maildrop = Maildrop::start(maildrop).await?;
        let receiver = ReceiverConfig::new(Security::Implicit(identity)).directory(dir.join("forwarded"));
        let receiver = Receiver::start(receiver).await?;
        write_secret(&dir.join("practice-password"), PASSWORD)?;
        Ok(Self { maildrop, receiver })
    }

    fn configuration(&self) -> String {
        CONFIGURATION
            .replace("{pop3-port}", &self.maildrop.addr().port().to_string())
            .replace("{smtp-port}", &self.receiver.addr().port().to_string())
    }
}

/// The practice account.
const USER: &str = "you@home.example";
/// Its password; it opens nothing else.
const PASSWORD: &str = "practice makes perfect";

const CONFIGURATION: &str = r#"# Written by `postroom demo`: the practice servers get new ports each time.
state = "state"

[accounts.practice]
host = "localhost"
port = {pop3-port}
user = "you@home.example"
password = { file = "practice-password" }
ca_file = "practice-ca.pem"

[sinks.archive]
type = "directory"
path = "archive"

[sinks.documents]
type = "directory"
path = "documents"

[sinks.relay]
type = "smtp"
host = "localhost"
port = {smtp-port}
ca_file = "practice-ca.pem"

# Spam is set aside, mailing lists get a label.
[[pipelines.main.steps]]
plugin = "filter"
settings = { rules = [
    { name = "marked as spam", when = { header = { "X-Spam-Flag" = "YES" } }, then = ["label:junk", "quarantine:marked as spam"] },
    { name = "mailing list", when = { header = { "List-Id" = "*" } }, then = ["label:list"] },
] }

# Documents go to their own folder, under safe names, never overwriting.
[[pipelines.main.steps]]
plugin = "attachments"
grants = { sinks = ["documents"] }
settings = { sink = "documents", include = ["*.pdf", "*.xml", "*.csv", "*.txt"], key = "{date:%Y}/{filename}" }

# Every message, byte for byte.
[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["archive"] }
settings = { sink = "archive", key = "{account}/{date:%Y/%m}/{sha256:16}.eml" }

# What is not a mailing list goes on to another address.
[[pipelines.main.steps]]
plugin = "forward"
grants = { sinks = ["relay"] }
when = { not_label = "list" }
settings = { sink = "relay", to = ["you@elsewhere.example"] }
"#;

async fn histories(host: &Arc<Host>) -> Result<Vec<History>, postroom_spool::Error> {
    let mut histories = Vec::new();
    for message in host.spool.find("").await? {
        histories.extend(host.spool.history(message).await?);
    }
    histories.reverse();
    Ok(histories)
}

fn print(dir: &Path, summary: &Summary, histories: &[History], retrievals: u64) {
    let mut table = Table::new(["MESSAGE", "OCTETS", "LABELS", "RESULT", "DELIVERED TO"]);
    for history in histories {
        let labels: Vec<_> = history.labels.iter().map(ToString::to_string).collect();
        table.row([
            history.message.0.short(12),
            history.provenance.size.to_string(),
            labels.join(", "),
            result(history),
            delivered(history),
        ]);
    }
    table.print();
    println!();
    once::print(summary);
    println!("\nretrieved from the practice server this time: {retrievals}");
    println!("\n{}/", dir.display());
    tree(dir, "");
    println!("\nlook around, then:");
    println!("  run it again: what is here already is not retrieved twice");
    println!("  postroom --config {0}/postroom.toml why {1}", dir.display(), example(histories));
    println!("  postroom --config {0}/postroom.toml queue ls", dir.display());
}

fn example(histories: &[History]) -> String {
    histories.first().map(|history| history.message.0.short(12)).unwrap_or_default()
}

fn result(history: &History) -> String {
    let state = match history.state {
        MessageState::Done => "done",
        MessageState::Quarantined => "quarantined",
        MessageState::Discarded => "discarded",
        MessageState::Spooled | MessageState::Running | MessageState::Planned => "under way",
    };
    match &history.reason {
        Some(reason) => format!("{state}: {reason}"),
        None => state.to_owned(),
    }
}

fn delivered(history: &History) -> String {
    let mut sinks: BTreeMap<&str, u32> = BTreeMap::new();
    for record in history.effects.iter().filter(|record| record.state == EffectState::Done) {
        *sinks.entry(record.effect.sink.as_str()).or_default() += 1;
    }
    let shown = sinks
        .iter()
        .map(|(sink, times)| if *times == 1 { (*sink).to_owned() } else { format!("{sink} x{times}") });
    shown.collect::<Vec<_>>().join(", ")
}

/// Everything that was written, but the host's own state.
fn tree(directory: &Path, indent: &str) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = postroom_mail::rules::neutral(&name.to_string_lossy(), 120);
        if entry.path().is_dir() {
            println!("{indent}  {name}/{}", if name == "state" { "  (the host's own)" } else { "" });
            if name != "state" {
                tree(&entry.path(), &format!("{indent}  "));
            }
        } else {
            let size = entry.metadata().map(|metadata| metadata.len()).unwrap_or(0);
            println!("{indent}  {name}  {}", output::size(size));
        }
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(octets.len() + octets.len() / 40);
    let mut last = 0;
    for &octet in octets {
        if octet == b'\n' && last != b'\r' {
            lines.push(b'\r');
        }
        lines.push(octet);
        last = octet;
    }
    lines
}

fn create(dir: &Path) -> Result<(), Failure> {
    let wrong =
        |error| Failure::new(Exit::CannotCreate, anyhow::anyhow!("cannot make {}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(wrong)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let wrong =
        |error| Failure::new(Exit::CannotCreate, anyhow::anyhow!("cannot write {}: {error}", path.display()));
    std::fs::write(path, text).map_err(wrong)
}

fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())
}
