//! The fixtures of a plugin's project, run natively. `postroom plugin test` runs the same files through the component and
//! holds it to the same lines, so a plugin that is different in the sandbox is found by the one or by the other.

use std::path::Path;

use postroom_contract::Limits;
use postroom_fixture::{Case, Conditions, Decision, Fixtures, Judgement, SinkKind, failure_lines};
use postroom_mail::{AccountId, Provenance};
use postroom_sdk::Plugin;
use serde_json::Value;

use crate::bench::Bench;
use crate::mail::Mail;
use crate::run::Run;

/// The account of mails that name none, as `postroom plugin test` has it.
const ACCOUNT: &str = "fixture";

/// Runs the mails of a directory, each under the settings, grants, limits and origin that the files beside it say, and each
/// with empty state. In `cargo test` the directory is relative to the package: `fixtures::<Documents>("fixtures")`.
///
/// ```
/// use postroom_sdk::prelude::*;
/// # struct Quiet;
/// # impl Plugin for Quiet {
/// #     type Settings = NoSettings;
/// #     const NAME: &'static str = "quiet";
/// #     const VERSION: &'static str = "0";
/// #     const DESCRIPTION: &'static str = "";
/// #     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> { Ok(()) }
/// # }
///
/// let directory = tempfile::tempdir()?;
/// std::fs::write(directory.path().join("letter.eml"), "Subject: x\r\n\r\nHello")?;
/// std::fs::write(directory.path().join("letter.expected"), "nothing\n")?;
/// postroom_bench::fixtures::<Quiet>(directory.path());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// When a mail is not decided as its `.expected` file says, with the first line that differs; when a file is wrong or
/// missing; and when the plugin panics.
#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
pub fn fixtures<P: Plugin>(directory: impl AsRef<Path>) {
    if let Err(problem) = check::<P>(directory.as_ref()) {
        panic!("{problem}");
    }
}

/// The first thing that is not as it should be, in words.
fn check<P: Plugin>(directory: &Path) -> Result<(), String> {
    let fixtures = Fixtures::read(directory).map_err(|error| error.to_string())?;
    let Conditions { settings, .. } = &fixtures.conditions;
    let settings = serde_json::to_value(settings).map_err(|error| format!("the settings: {error}"))?;
    let bench = bench(&fixtures.conditions)?;
    fixtures.cases.iter().try_for_each(|case| judge::<P>(directory, &bench, &settings, case))
}

/// With what the operator would grant.
fn bench(conditions: &Conditions) -> Result<Bench, String> {
    let limits: Limits = conditions.limits_as().map_err(|error| error.to_string())?;
    // Else it would be a failure of each call, which a fixture may well expect.
    limits.check()?;
    let mut bench = Bench::new().limits(limits);
    for (sink, kind) in &conditions.grants.sinks {
        bench = match kind {
            SinkKind::Object => bench.sink(sink.as_str()),
            SinkKind::Mailbox => bench.mailbox(sink.as_str()),
            SinkKind::Transport => bench.relay(sink.as_str()),
        };
    }
    for (target, paths) in &conditions.grants.fetch {
        for (path, answer) in paths {
            bench = bench.answers(target.as_str(), path, answer.status, answer.body.as_str());
        }
    }
    let bench = if conditions.grants.discard { bench.discard() } else { bench };
    Ok(if conditions.grants.kv { bench.kv() } else { bench })
}

fn judge<P: Plugin>(directory: &Path, bench: &Bench, settings: &Value, case: &Case) -> Result<(), String> {
    let account = AccountId::new(ACCOUNT).map_err(|error| error.to_string())?;
    let provenance = case.provenance(&account);
    let run = bench.run::<P>(settings.clone(), &mail(case, &provenance));
    let found = lines(&run, provenance.size);
    let path = directory.join(format!("{}.expected", case.name));
    match case.judge(&found) {
        Judgement::Right => Ok(()),
        Judgement::Wrong(difference) => Err(format!("{}, {difference}", path.display())),
        Judgement::Unwritten => Err(format!(
            "{} is not there yet (`postroom plugin test --bless` writes it); what was decided:\n  {}",
            path.display(),
            found.join("\n  ")
        )),
    }
}

fn mail(case: &Case, provenance: &Provenance) -> Mail {
    let uidl = String::from_utf8_lossy(&provenance.uid.0);
    Mail::new()
        .raw(&case.mail)
        .account(provenance.account.as_str())
        .uidl(Some(&uidl))
        .received_ms(u64::try_from(provenance.retrieved.0).unwrap_or_default())
}

fn lines(run: &Run, size: u64) -> Vec<String> {
    match &run.outcome {
        Ok(outcome) => Decision {
            size,
            labels: &outcome.labels,
            effects: &outcome.effects,
            verdict: outcome.verdict.as_ref(),
            stop: outcome.stop,
            kv: &outcome.kv,
        }
        .lines(),
        Err(cause) => failure_lines(&cause.to_string()),
    }
}
