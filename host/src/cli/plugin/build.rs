//! `postroom plugin build`: the component of a project, and what it is.

use std::path::PathBuf;

use postroom_sandbox::Inspection;

use super::super::output;
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};
use super::project::Project;

/// Arguments of `plugin build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's directory.
    #[arg(default_value_os_t = super::here(), hide_default_value = true)]
    directory: PathBuf,
}

pub(super) fn build(context: &Context, args: &Args) -> Outcome {
    let project = Project::open(&args.directory)?;
    let octets = project.build()?;
    let inspection = super::sandbox()?.inspect(&octets).map_err(|error| Failure::new(Exit::Data, error))?;
    let path = project.component();
    let path = path.strip_prefix(".").unwrap_or(&path);
    if context.json {
        output::json(&serde_json::json!({
            "component": path,
            "octets": inspection.size,
            "sha256": inspection.digest,
            "imports": own_imports(&inspection),
            "problem": inspection.problem.as_ref().map(ToString::to_string),
        }))?;
    } else {
        println!("component   {}", path.display());
        println!("octets      {} ({})", inspection.size, output::size(inspection.size));
        println!("sha256      {}", inspection.digest);
        println!("imports     {}", own_imports(&inspection).join(", "));
        if let Some(problem) = &inspection.problem {
            println!("\nit cannot be loaded: {problem}");
        }
    }
    Ok(if inspection.problem.is_none() { Exit::Ok } else { Exit::Data })
}

/// Without what is linked to nothing.
fn own_imports(inspection: &Inspection) -> Vec<&str> {
    inspection.imports.iter().filter(|import| !import.wasi).map(|import| import.name.as_str()).collect()
}
