//! `postroom check`: everything that can be known before mail flows. Sends nothing.

use serde::Serialize;

use super::output::{self, Table};
use super::setup::{self, Context};
use super::{Exit, Outcome, compiled};
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver;
use crate::live::Live;
use crate::source;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also log in to every account and look at every sink.
    #[arg(long)]
    online: bool,
    /// Treat warnings as errors.
    #[arg(long)]
    deny_warnings: bool,
}

/// The answer for programs.
#[derive(Serialize)]
struct Checked {
    config: String,
    warnings: Vec<String>,
    steps: Vec<StepLine>,
    online: Vec<Probe>,
    ok: bool,
}

#[derive(Serialize)]
struct StepLine {
    pipeline: String,
    step: String,
    plugin: String,
    sha256: String,
    sinks: Vec<String>,
    required: bool,
    on_error: String,
}

#[derive(Serialize)]
struct Probe {
    what: String,
    ok: bool,
    facts: Vec<String>,
    hint: Option<String>,
}

pub(super) fn check(context: &Context, args: &Args) -> Outcome {
    let (path, config) = context.load()?;
    let cache = compiled::beside(&config.state);
    let sandbox = setup::sandbox(cache.as_deref(), 1, config.limits.compile)?;
    let live = Live::build(config, &sandbox)?;
    let online = if args.online { setup::runtime()?.block_on(probe(&live)) } else { Vec::new() };
    let refused = args.deny_warnings && !live.config.warnings.is_empty();
    let ok = !refused && online.iter().all(|probe| probe.ok);
    let checked = Checked {
        config: path.display().to_string(),
        warnings: live.config.warnings.clone(),
        steps: steps(&live),
        online,
        ok,
    };
    if context.json {
        output::json(&checked)?;
    } else {
        print(&checked, &live.config);
    }
    Ok(match (ok, refused) {
        (true, _) => Exit::Ok,
        (false, true) => Exit::Config,
        (false, false) => Exit::Unavailable,
    })
}

fn steps(live: &Live) -> Vec<StepLine> {
    let mut lines = Vec::new();
    for chain in live.plugins.chains() {
        let configured = live
            .config
            .pipelines
            .get(&chain.name)
            .map(|pipeline| pipeline.steps.as_slice())
            .unwrap_or_default();
        for (step, configured) in chain.steps.iter().zip(configured) {
            lines.push(StepLine {
                pipeline: chain.name.to_string(),
                step: step.name.to_string(),
                plugin: step.plugin_name.clone(),
                sha256: step.plugin.component().digest().to_string(),
                sinks: configured.grants.sinks.iter().map(ToString::to_string).collect(),
                required: configured.required,
                on_error: deliver::describe(step.on_error.then).to_owned(),
            });
        }
    }
    lines
}

async fn probe(live: &Live) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (id, account) in live.config.accounts.iter().filter(|(_, account)| account.enabled) {
        let what = format!("account {id} ({}:{})", account.host, account.port);
        probes.push(match source::probe(id, account, &live.config.base, Clock::system().now()).await {
            Ok(count) => Probe {
                what,
                ok: true,
                facts: vec![format!("logged in, {count} messages there")],
                hint: None,
            },
            Err(error) => {
                Probe { what, ok: false, facts: vec![error.to_string()], hint: Some(error.hint(account)) }
            }
        });
    }
    for (name, sink) in &live.sinks {
        let what = format!("sink {name}");
        probes.push(match sink.probe(Clock::system().now()).await {
            Ok(facts) => Probe { what, ok: true, facts, hint: None },
            Err(error) => Probe { what, ok: false, facts: vec![error.to_string()], hint: None },
        });
    }
    probes
}

fn print(checked: &Checked, config: &Config) {
    println!(
        "{}: {}, {}, {}\n",
        checked.config,
        output::count(config.accounts.len() as u64, "account", "accounts"),
        output::count(config.sinks.len() as u64, "sink", "sinks"),
        output::count(config.pipelines.len() as u64, "pipeline", "pipelines")
    );
    let mut table = Table::new(["PIPELINE", "STEP", "PLUGIN", "SHA-256", "SINKS", "REQUIRED", "ON ERROR"]);
    for step in &checked.steps {
        table.row([
            step.pipeline.clone(),
            step.step.clone(),
            step.plugin.clone(),
            step.sha256.chars().take(12).collect(),
            step.sinks.join(", "),
            if step.required { "yes" } else { "no" }.to_owned(),
            format!("retry, {}", step.on_error),
        ]);
    }
    table.print();
    for probe in &checked.online {
        println!("\n{} {}", if probe.ok { "ok  " } else { "FAIL" }, probe.what);
        probe.facts.iter().for_each(|fact| println!("     {}", postroom_mail::rules::neutral(fact, 400)));
        if let Some(hint) = &probe.hint {
            println!("     hint: {hint}");
        }
    }
    for warning in &checked.warnings {
        println!("\nwarning: {warning}");
    }
    println!("\n{}", if checked.ok { "all is well" } else { "not all is well" });
}
