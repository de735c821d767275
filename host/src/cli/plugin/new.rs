//! `postroom plugin new`: a project that builds and passes its tests, to be changed into what the author wants.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use postroom_kit::{Answers, SDK_DIRECTORY};
use postroom_mail::Name;

use super::super::output;
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};

/// Arguments of `plugin new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's name, and the directory that is made for it here.
    name: String,
    /// The language it is written in.
    #[arg(long, default_value = "rust", value_parser = PossibleValuesParser::new(postroom_kit::languages()))]
    language: String,
    /// Use the SDK of this checkout of Postroom, instead of the one this program carries.
    #[arg(long, value_name = "DIRECTORY")]
    sdk: Option<PathBuf>,
}

pub(super) fn new(context: &Context, args: &Args) -> Outcome {
    check_name(&args.name)?;
    let needs_sdk = postroom_kit::needs_sdk(&args.language);
    if args.sdk.is_some() && !needs_sdk {
        let text = format!("there is no SDK for {}: such a plugin uses the contract as it is", args.language);
        return Err(Failure::usage(anyhow::anyhow!(text)).hint("leave --sdk out"));
    }
    let checkout = args.sdk.as_deref().map(checkout).transpose()?;
    let sdk = checkout.as_deref().unwrap_or(SDK_DIRECTORY);
    let carried = needs_sdk && checkout.is_none();
    let directory = Path::new(&args.name);
    std::fs::create_dir(directory).map_err(|error| cannot_create(directory, &error))?;
    let written = write(&args.language, directory, &Answers { name: &args.name, sdk }, carried);
    let written = written.map_err(|error| {
        // Made above, so nothing of anybody else's is in it. What remains of it is named by the error.
        let _ = std::fs::remove_dir_all(directory);
        cannot_create(directory, &error)
    })?;
    if context.json {
        let sdk = needs_sdk.then_some(sdk);
        let document = serde_json::json!({ "directory": directory, "language": args.language, "sdk": sdk, "files": written });
        output::json(&document)?;
    } else {
        println!("wrote {}:", directory.display());
        written.iter().for_each(|path| println!("  {path}"));
        println!("\nnext:\n  cd {}", directory.display());
        println!("  postroom plugin test     # its tests, then its fixtures through the component");
        println!("  postroom plugin dev      # builds at every change and shows what is done differently");
    }
    Ok(Exit::Ok)
}

fn write(language: &str, directory: &Path, answers: &Answers<'_>, carried: bool) -> io::Result<Vec<String>> {
    let files = postroom_kit::write_project(language, directory, answers)?;
    let mut written: Vec<String> = files.into_iter().map(str::to_owned).collect();
    if carried {
        postroom_kit::write_sdk(&directory.join(SDK_DIRECTORY))?;
        written.push(format!("{SDK_DIRECTORY}/"));
    }
    Ok(written)
}

/// A name for packages of every language, and for a plugin.
fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |text: &str| {
        text.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
    };
    let starts = name.bytes().next().is_some_and(|octet| octet.is_ascii_lowercase());
    if starts && plain(name) && !name.ends_with('-') && Name::new(name).is_ok() {
        return Ok(());
    }
    let text = format!("{name:?} cannot be the name of a plugin");
    let hint = "a name has lower-case letters, digits and `-`, and begins with a letter: pay-slips";
    Err(Failure::usage(anyhow::anyhow!(text)).hint(hint))
}

/// The absolute path of a checkout.
fn checkout(directory: &Path) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::new(Exit::NoInput, anyhow::anyhow!(what))
            .hint("name the directory that holds `sdk/Cargo.toml`, or leave --sdk out to use the SDK this program carries")
    };
    let found = directory.join("sdk/Cargo.toml");
    if !found.is_file() {
        return Err(wrong(format!(
            "{} is no checkout of Postroom: there is no {}",
            directory.display(),
            found.display()
        )));
    }
    let absolute = std::fs::canonicalize(directory)?;
    let text = absolute.to_str().filter(|text| !text.contains(['"', '\\']));
    text.map(str::to_owned)
        .ok_or_else(|| wrong(format!("{} cannot be written into a manifest", absolute.display())))
}

fn cannot_create(directory: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let text = format!("{} is there already, and nothing is overwritten", directory.display());
        return Failure::new(Exit::CannotCreate, anyhow::anyhow!(text))
            .hint("choose another name, or go to another directory");
    }
    Failure::new(Exit::CannotCreate, anyhow::anyhow!("cannot write {}: {error}", directory.display()))
}
