//! `postroom plugin pack`: a component as an OCI layout, which tools of registries push and the configuration can name.

use std::path::PathBuf;

use postroom_mail::Digest;
use postroom_oci::{Layout, Place, Plugin, Reference};

use super::super::output;
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};
use crate::{origin, regular};

/// Arguments of `plugin pack`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component; its signature is FILE.minisig, when there is one.
    file: PathBuf,
    /// The directory of the layout; one that is there keeps what it has.
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
}

pub(super) fn pack(context: &Context, args: &Args) -> Outcome {
    let component = super::read_file(&args.file)?;
    let beside = origin::signature_of(&args.file);
    let signature = match regular::read_text(&beside, origin::SIGNATURE_CAP) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let text = format!("cannot read the signature {}: {error}", beside.display());
            return Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)));
        }
    };
    let (sha256, signed) = (Digest::of(&component), signature.is_some());
    let layout = Layout::at(&args.to);
    let written = layout.write(&Plugin { component, signature });
    let digest = written.map_err(|error| Failure::new(Exit::Data, error))?;
    let reference = Reference { place: Place::Layout(args.to.clone()), digest };
    if context.json {
        output::json(&serde_json::json!({
            "layout": args.to, "digest": format!("sha256:{digest}"), "sha256": sha256, "signed": signed,
            "plugin": reference.to_string(),
        }))?;
    } else {
        println!("layout   {}", args.to.display());
        println!("digest   sha256:{digest}");
        println!("signed   {}", if signed { "yes" } else { "no (there is no .minisig beside the file)" });
        println!("plugin = \"{reference}\"");
    }
    Ok(Exit::Ok)
}
