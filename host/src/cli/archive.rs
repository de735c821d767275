//! `postroom archive`: what belongs to the manifests of sinks.

use super::output;
use super::setup::Context;
use super::{Exit, Failure, Outcome};
use crate::manifest::SigningKey;

/// What of the manifests.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Print the public key that signs heads of manifests, as `minisign -P` takes it. Keep it elsewhere.
    Key,
}

pub(super) fn archive(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::Key => key(context),
    }
}

fn key(context: &Context) -> Outcome {
    let (_, config) = context.load()?;
    let key = SigningKey::read(&config.state).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let failure = Failure::new(if missing { Exit::NoInput } else { Exit::Io }, error);
        failure
            .hint("the key is made when the first manifest is signed: `manifest = true` in a sink, then run")
    })?;
    if context.json {
        output::json(&serde_json::json!({ "key": key.public() }))?;
    } else {
        println!("{}", key.public());
    }
    Ok(Exit::Ok)
}
