//! `cargo bench`, or `cargo xtask bench`: CPU time per message, each in fresh instances, Postroom and a peer in the same run.
//!
//! Rounds of all rows are interleaved, so that a busy moment of the machine hits every row. Medians over the rounds are
//! printed, with the fastest and the slowest round beside them. Nothing is asserted: figures of a machine are no test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use postroom_bench_calls::{mail, message, step, thread_cpu};
use postroom_mail::Label;
use postroom_sandbox::{KvRead, Mime, NoKv, Plugin, Sandbox, SandboxConfig};
use serde_json::json;

const ROUNDS: usize = 15;
const CALLS: u32 = 200;

/// One line of the table.
struct Row {
    name: &'static str,
    run: Box<dyn Fn() -> anyhow::Result<()>>,
    rounds: Vec<Duration>,
}

fn main() -> anyhow::Result<()> {
    let small = Arc::new(mail(4 << 10));
    let usual = Arc::new(mail(50 << 10));
    let sandbox = Sandbox::new(&SandboxConfig { cache_dir: None, concurrency: 2, fuel: false })?;
    let mime = Arc::new(sandbox.load_mime(postroom_bundle::MIME)?);
    let noop = std::fs::read(guest("noop", "wasm32-wasip2")?)?;
    let noop = sandbox.load(&noop)?;
    let peer = guest("peer", "wasm32-unknown-unknown")?;

    let mut rows = vec![
        row("no-op", calls(noop.admit(step("noop", &json!({}))?)?, &usual, None)),
        row("no-op, Extism", extism(&peer, "noop", &Arc::default())?),
        row("a word in the subject, 4 KB", calls(noop.admit(step("word", &json!({ "word": "invoice" }))?)?, &small, None)),
        row("a word in the subject, 4 KB, Extism", extism(&peer, "subject", &small)?),
        row("a word in the subject, 50 KB", calls(noop.admit(step("word", &json!({ "word": "invoice" }))?)?, &usual, None)),
        row("a word in the subject, 50 KB, Extism", extism(&peer, "subject", &usual)?),
        row("MIME structure alone, 50 KB", structure(&mime, &usual)),
    ];
    for plugin in four(&sandbox)? {
        rows.push(row(plugin.0, calls(plugin.1, &usual, Some(&mime))));
    }
    rows.push(row("the four bundled, 4 KB", chain(four(&sandbox)?, &small, &mime)));
    rows.push(row("the four bundled, 50 KB", chain(four(&sandbox)?, &usual, &mime)));

    for round in 0..=ROUNDS {
        for row in &mut rows {
            let took = measured(&*row.run).with_context(|| row.name)?;
            // The first round warms up.
            if round > 0 {
                row.rounds.push(took);
            }
        }
    }
    println!("{:?}; CPU time per message, fresh instances; {ROUNDS} rounds of {CALLS}\n", sandbox.allocation());
    println!("{:45} {:>9} {:>9} {:>9}", "", "median us", "least", "most");
    for row in &mut rows {
        row.rounds.sort_unstable();
        let us = |at: usize| row.rounds[at].as_secs_f64() * 1e6;
        println!("{:45} {:9.1} {:9.1} {:9.1}", row.name, us(ROUNDS / 2), us(0), us(ROUNDS - 1));
    }
    Ok(())
}

fn measured(run: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let before = thread_cpu();
    for _ in 0..CALLS {
        run()?;
    }
    Ok((thread_cpu() - before) / CALLS)
}

fn row(name: &'static str, run: Box<dyn Fn() -> anyhow::Result<()>>) -> Row {
    Row { name, run, rounds: Vec::new() }
}

/// One plugin over a message of which nothing is derived yet.
fn calls(plugin: Plugin, octets: &Arc<Vec<u8>>, mime: Option<&Arc<Mime>>) -> Box<dyn Fn() -> anyhow::Result<()>> {
    let (octets, mime) = (Arc::clone(octets), mime.cloned());
    let kv: Arc<dyn KvRead> = Arc::new(NoKv);
    Box::new(move || {
        plugin.handle(&message(&octets, mime.as_ref())?, &[], &kv)?;
        Ok(())
    })
}

/// Plugins one after another over the same message, as in a pipeline.
fn chain(
    plugins: Vec<(&'static str, Plugin)>,
    octets: &Arc<Vec<u8>>,
    mime: &Arc<Mime>,
) -> Box<dyn Fn() -> anyhow::Result<()>> {
    let (octets, mime) = (Arc::clone(octets), Arc::clone(mime));
    let kv: Arc<dyn KvRead> = Arc::new(NoKv);
    Box::new(move || {
        let message = message(&octets, Some(&mime))?;
        let (mut labels, mut effects): (Vec<Label>, usize) = (Vec::new(), 0);
        for (_, plugin) in &plugins {
            let outcome = plugin.handle(&message, &labels, &kv)?;
            labels.extend(outcome.labels);
            effects += outcome.effects.len();
        }
        if effects == 3 && labels.len() == 1 { Ok(()) } else { bail!("{effects} effects, {} labels", labels.len()) }
    })
}

fn structure(mime: &Arc<Mime>, octets: &Arc<Vec<u8>>) -> Box<dyn Fn() -> anyhow::Result<()>> {
    let (octets, mime) = (Arc::clone(octets), Arc::clone(mime));
    Box::new(move || mime.structure(&*octets).map(drop).map_err(anyhow::Error::msg))
}

/// The bundled plugins with the work they usually do.
fn four(sandbox: &Sandbox) -> anyhow::Result<Vec<(&'static str, Plugin)>> {
    let rule = json!({ "name": "invoices", "when": { "subject": "*invoice*", "attachment": ["*.pdf", "*.xml"] }, "then": ["label:invoice"] });
    let settings = [
        ("filter", json!({ "rules": [rule] })),
        ("attachments", json!({ "sink": "vault", "include": ["*.pdf", "*.xml"], "key": "{date:%Y-%m}/{filename}" })),
        ("archive", json!({ "sink": "vault", "key": "{account}/{date:%Y/%m/%d}/{sha256:16}.eml", "compress": "zstd" })),
        ("forward", json!({ "sink": "relay", "to": ["me@elsewhere.example"] })),
    ];
    let mut plugins = Vec::new();
    for (name, settings) in settings {
        let octets = postroom_bundle::bundled(name).context("a bundled plugin")?;
        plugins.push((name, sandbox.load(octets)?.admit(step(name, &settings)?)?));
    }
    Ok(plugins)
}

/// The peer: compiled once, a fresh instance for each message, the message handed over whole.
fn extism(
    component: &Path,
    function: &'static str,
    octets: &Arc<Vec<u8>>,
) -> anyhow::Result<Box<dyn Fn() -> anyhow::Result<()>>> {
    let octets = Arc::clone(octets);
    let manifest = extism::Manifest::new([extism::Wasm::data(std::fs::read(component)?)]).with_config_key("word", "invoice");
    let compiled = extism::CompiledPlugin::new(extism::PluginBuilder::new(manifest).with_wasi(false))?;
    Ok(Box::new(move || {
        let mut plugin = extism::Plugin::new_from_compiled(&compiled)?;
        let answer: &[u8] = plugin.call(function, octets.as_slice())?;
        let wanted: &[u8] = if function == "noop" { b"" } else { b"found" };
        if answer == wanted { Ok(()) } else { bail!("{function} answered {answer:?}") }
    }))
}

/// Builds the guests and answers where one is.
fn guest(name: &str, target: &str) -> anyhow::Result<PathBuf> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-guests");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--package", name, "--target", target]);
    cargo.current_dir(&guests).env("CARGO_TARGET_DIR", &out).env("CARGO_BUILD_BUILD_DIR", &out);
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("the guest {name} does not build; is its target there? rustup target add {target}");
    }
    Ok(out.join(target).join("release").join(format!("{name}.wasm")))
}
