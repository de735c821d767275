//! `postroom plugin dev`: at every change the plugin is built and run over a folder of mails, and what it would do
//! differently is shown. A mistake in the source is shown too, and the watch goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::output;
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};
use super::mails;
use super::project::Project;
use super::trial::Trial;
use super::watch::Watch;

/// Arguments of `plugin dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's directory.
    #[arg(default_value_os_t = super::here(), hide_default_value = true)]
    directory: PathBuf,
    /// The mails: a directory of .eml files, or one file [default: the project's fixtures].
    #[arg(long, value_name = "DIRECTORY")]
    mail: Option<PathBuf>,
    /// Do it once, without watching.
    #[arg(long)]
    once: bool,
    /// Do it again at every line on standard input, instead of watching files; end with it.
    #[arg(long, conflicts_with = "once")]
    on_enter: bool,
}

/// What was decided over each mail.
type Decisions = BTreeMap<String, Vec<String>>;

pub(super) fn dev(context: &Context, args: &Args) -> Outcome {
    let project = Project::open(&args.directory)?;
    let mail = args.mail.clone().unwrap_or_else(|| project.fixtures());
    let mut watch = watch(args, &project, &mail)?;
    let mut before: Option<Decisions> = None;
    loop {
        let exit = match round(&project, &mail) {
            Ok((now, exit)) => {
                show(context, before.as_ref(), &now)?;
                before = Some(now);
                exit
            }
            Err(failure) => {
                failure.print(context.json);
                failure.exit
            }
        };
        let Some(watch) = &mut watch else { return Ok(exit) };
        eprintln!("waiting for a change; Ctrl-C ends");
        if !watch.changed() {
            return Ok(Exit::Ok);
        }
    }
}

fn watch(args: &Args, project: &Project, mail: &std::path::Path) -> Result<Option<Watch>, Failure> {
    if args.once {
        return Ok(None);
    }
    if args.on_enter {
        return Ok(Some(Watch::Lines));
    }
    let mut roots = vec![project.directory().to_owned()];
    if !mail.starts_with(project.directory()) {
        roots.push(mail.to_owned());
    }
    Watch::files(roots, project.component()).map(Some)
}

/// Conditions and mails are read anew each time: they are changed as often as the source. Like `plugin bench` it ends well only
/// if no mail made the plugin fail.
fn round(project: &Project, mail: &std::path::Path) -> Result<(Decisions, Exit), Failure> {
    let octets = project.build()?;
    let trial = Trial::new(&super::sandbox()?, &octets, &project.conditions()?)?;
    let (mut decisions, mut exit) = (Decisions::new(), Exit::Ok);
    for mail in mails::read(mail)? {
        let tried = trial.run(&trial.provenance(&mail.octets)?, &mail.octets);
        if tried.failed {
            exit = Exit::Data;
        }
        decisions.insert(mail.name, tried.lines);
    }
    Ok((decisions, exit))
}

/// The whole of the first round; of every other what differs from the one before.
fn show(context: &Context, before: Option<&Decisions>, now: &Decisions) -> Result<(), Failure> {
    let none = Vec::new();
    let names = before.into_iter().flat_map(BTreeMap::keys).chain(now.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    let mut changed = Vec::new();
    for name in names {
        let old = before.and_then(|before| before.get(name)).unwrap_or(&none);
        let new = now.get(name).unwrap_or(&none);
        let removed = without(old, new);
        let added = without(new, old);
        if before.is_none() || !removed.is_empty() || !added.is_empty() {
            changed.push((name, removed, added));
        }
    }
    if context.json {
        let changed = changed.iter().map(
            |(mail, removed, added)| serde_json::json!({ "mail": mail, "removed": removed, "added": added }),
        );
        return output::json(
            &serde_json::json!({ "mails": now.len(), "first": before.is_none(), "changed": changed.collect::<Vec<_>>() }),
        );
    }
    for (name, removed, added) in &changed {
        println!("\n{name}");
        removed.iter().for_each(|line| println!("  - {line}"));
        added.iter().for_each(|line| println!("  {} {line}", if before.is_some() { '+' } else { ' ' }));
    }
    let mails = output::count(now.len() as u64, "mail", "mails");
    match before {
        None => println!("\n{mails} handled"),
        Some(_) => println!("\n{} of {mails} handled differently", changed.len()),
    }
    Ok(())
}

/// The lines of `these` that are not among `those`, each as often as it is more often there.
fn without<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    let mut left: Vec<&String> = those.iter().collect();
    let mut more = Vec::new();
    for line in these {
        match left.iter().position(|other| *other == line) {
            Some(at) => drop(left.swap_remove(at)),
            None => more.push(line),
        }
    }
    more
}
