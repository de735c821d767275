//! `postroom plugin`: what an author needs from an empty directory to a step of a configuration. One file a verb; what
//! several of them need is in `project` (the author's commands), `trial` (one run under conditions), `schema` and `mails`.

mod add;
mod bench;
mod build;
mod dev;
mod inspect;
mod mails;
mod new;
mod pack;
mod project;
mod retry;
mod schema;
mod step;
mod test;
mod trial;
mod watch;

use std::path::{Path, PathBuf};

use postroom_sandbox::{CompileLimits, SIZE_CAP, Sandbox};

use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, compiled};
use crate::config::PluginRef;
use crate::origin::{self, OriginError};
use crate::regular;

/// The verbs of `plugin`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Write a small working plugin with its tests, and the SDK beside it, to start from.
    New(new::Args),
    /// Compile a plugin's project to the component that is loaded.
    Build(build::Args),
    /// Run a plugin's own tests, then its fixtures through the component under real limits.
    Test(test::Args),
    /// Measure what one call costs: CPU time, fuel, memory, host calls.
    Bench(bench::Args),
    /// Build at every change, run a folder of mails, and show what would be done differently.
    Dev(dev::Args),
    /// Show what a plugin is and can ask for, its settings, and the line that pins it.
    Inspect(inspect::Args),
    /// Add a plugin to the configuration as a step, pinned to exactly this file.
    Add(add::Args),
    /// Write a component, with its signature, as an OCI layout: to push to a registry, or to load from as it is.
    Pack(pack::Args),
    /// Show what candidates (`shadow` of a step) would have decided differently on live mail.
    Shadow(super::shadow::Args),
    /// Make the candidate of a step its plugin, in the configuration; a running host follows by itself.
    Promote(super::promote::Args),
    /// Run the plugin of a step again that failed too often and was left, without a change of it.
    Retry(retry::Args),
}

pub(super) fn plugin(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::New(args) => new::new(context, args),
        Verb::Build(args) => build::build(context, args),
        Verb::Test(args) => test::test(context, args),
        Verb::Bench(args) => bench::bench(context, args),
        Verb::Dev(args) => dev::dev(context, args),
        Verb::Inspect(args) => inspect::inspect(context, args),
        Verb::Add(args) => add::add(context, args),
        Verb::Pack(args) => pack::pack(context, args),
        Verb::Shadow(args) => super::shadow::shadow(context, args),
        Verb::Promote(args) => super::promote::promote(context, args),
        Verb::Retry(args) => retry::retry(context, args),
    }
}

/// A plugin as it is named on the command line.
fn named(text: &str) -> Result<PluginRef, Failure> {
    PluginRef::parse(text, &std::env::current_dir()?).map_err(Failure::usage)
}

/// A sandbox that asks no configuration. Whoever waits for it can end it, so compiling may take as long as can be configured.
fn sandbox() -> Result<Sandbox, Failure> {
    setup::sandbox(compiled::of_user().as_deref(), 1, patient())
}

/// One that counts fuel, as patient.
fn counting_sandbox() -> Result<Sandbox, Failure> {
    setup::counting_sandbox(compiled::of_user().as_deref(), patient())
}

fn patient() -> CompileLimits {
    CompileLimits { cpu: CompileLimits::MAX.cpu, ..CompileLimits::default() }
}

/// The octets of a plugin.
fn read(reference: &PluginRef) -> Result<Vec<u8>, Failure> {
    origin::read_alone(reference).map_err(|error| {
        let exit = match &error {
            OriginError::Unreadable { .. } => Exit::NoInput,
            OriginError::Unknown { .. } | OriginError::NotOne { .. } | OriginError::Oci(_) => Exit::Data,
            OriginError::Registry { .. } | OriginError::Unsigned { .. } | OriginError::Forged { .. } => {
                Exit::Data
            }
        };
        Failure::new(exit, error)
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    regular::read(path, SIZE_CAP).map_err(|error| {
        Failure::new(Exit::NoInput, anyhow::anyhow!("cannot read the plugin {}: {error}", path.display()))
    })
}

/// The directory a verb is to work in, when none is named.
fn here() -> PathBuf {
    PathBuf::from(".")
}
