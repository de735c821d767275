//! The command line: one file a verb. Every verb prints for people, or one JSON document with `--json`; exit codes are those
//! of sysexits.h.

mod account;
mod archive;
mod auth;
mod backup;
mod check;
mod compile_plugin;
mod compiled;
mod demo;
mod doctor;
mod edit;
mod exit;
mod export;
mod init;
mod judged;
mod once;
mod output;
mod plugin;
mod precautions;
mod probe;
mod promote;
mod queue;
mod run;
mod seen;
mod setup;
mod shadow;
mod signals;
mod status;
mod test;
mod try_message;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use exit::{Exit, Failure};

use crate::config::LogFormat;

/// What every verb returns.
pub type Outcome = Result<Exit, Failure>;

/// Postroom retrieves mail over POP3 and runs every message through sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "postroom", version, about, max_term_width = 100)]
pub struct Cli {
    /// The configuration file [default: ./postroom.toml, then /etc/postroom/postroom.toml].
    #[arg(long, short, global = true, env = "POSTROOM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log level, or a filter such as `postroom=debug`.
    #[arg(long, global = true, env = "POSTROOM_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the whole way of a message, with practice servers on this machine; needs no configuration.
    Demo(demo::Args),
    /// Write a commented configuration to start from.
    Init(init::Args),
    /// Check the configuration, the plugins and their grants; with --online also servers and sinks. Sends nothing.
    Check(check::Args),
    /// Run until stopped: poll, process, deliver; follow changes of configuration and plugins.
    Run(run::Args),
    /// Poll every account once, process and deliver what is due, then end; with --dry-run only say what would be done.
    Once(once::Args),
    /// Find out what an account's server is like, and which settings fit it. Retrieves and deletes nothing.
    Probe(probe::Args),
    /// Sign an account in that logs in with an access token (OAuth 2.0).
    Auth(auth::Args),
    /// Look at what was seen in a maildrop, bring it from another program, or change it.
    #[command(subcommand)]
    Seen(seen::Verb),
    /// Show exactly what would happen to a message: every step's decision and effect. Sends nothing.
    Try(try_message::Args),
    /// Run the mails beside the configuration through it, and compare with what is expected of each. Sends nothing.
    Test(test::Args),
    /// Show how each account and the queue stand, with every message on a server accounted for.
    Status,
    /// Show everything known of one message.
    Why(why::Args),
    /// Look at what waits and what was set aside, and decide over it.
    #[command(subcommand)]
    Queue(queue::Verb),
    /// Prove that the objects of a sink, and the manifest of them, are as they were stored. Changes nothing.
    Verify(verify::Args),
    /// Copy what a sink keeps out of it, decoded, as files, a maildir or an mbox. Overwrites nothing.
    Export(export::Args),
    /// Everything else about the manifests of sinks.
    #[command(subcommand)]
    Archive(archive::Verb),
    /// Examine the state for damage, beside a running host or not; with --repair or --rebuild mend it.
    Doctor(doctor::Args),
    /// Copy the state to a new directory, beside a running host or not.
    Backup(backup::Args),
    /// Write, build, test and measure plugins, look into them, and add them to the configuration.
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Compile a component from stdin into a cache: what the host runs for plugins of other people.
    #[command(hide = true)]
    CompilePlugin(compile_plugin::Args),
}

/// Parses the arguments, carries out the verb, prints what went wrong.
pub fn main() -> ExitCode {
    precautions::take();
    end_quietly_with_the_reader();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let json = cli.json;
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(json);
            failure.exit.into()
        }
    }
}

/// `postroom … | head` is no fault: when nobody reads on, the process ends without a word, as other tools do.
fn end_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text
            .is_some_and(|text| text.starts_with("failed printing to stdout") && text.contains("Broken pipe"))
        {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

fn dispatch(cli: Cli) -> Outcome {
    let format = cli.log_format.map(|format| match format {
        Format::Json => LogFormat::Json,
        Format::Text => LogFormat::Text,
    });
    let context = setup::Context { config: cli.config, json: cli.json, log: cli.log, log_format: format };
    // The daemon logs as its configuration says; verbs that answer a question keep quiet unless asked.
    if !matches!(cli.verb, Verb::Run(_)) {
        context.start_log("error", LogFormat::Text)?;
    }
    match cli.verb {
        Verb::Demo(args) => demo::demo(&context, &args),
        Verb::Init(args) => init::init(&context, &args),
        Verb::Check(args) => check::check(&context, &args),
        Verb::Run(args) => run::run(&context, &args),
        Verb::Once(args) => once::once(&context, &args),
        Verb::Probe(args) => probe::probe(&context, &args),
        Verb::Auth(args) => auth::auth(&context, &args),
        Verb::Seen(verb) => seen::seen(&context, &verb),
        Verb::Try(args) => try_message::try_message(&context, &args),
        Verb::Test(args) => test::test(&context, &args),
        Verb::Status => status::status(&context),
        Verb::Why(args) => why::why(&context, &args),
        Verb::Queue(verb) => queue::queue(&context, &verb),
        Verb::Verify(args) => verify::verify(&context, &args),
        Verb::Export(args) => export::export(&context, &args),
        Verb::Archive(verb) => archive::archive(&context, &verb),
        Verb::Doctor(args) => doctor::doctor(&context, &args),
        Verb::Backup(args) => backup::backup(&context, &args),
        Verb::Plugin(verb) => plugin::plugin(&context, &verb),
        Verb::CompilePlugin(args) => compile_plugin::compile_plugin(&args),
    }
}
