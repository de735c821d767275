//! Compiles the bundled plugins to components and writes the list the library includes.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use postroom_artifact::{Component, Guests};

const PREFIX: &str = "postroom-plugin-";
const PLUGINS: [&str; 8] = [
    "postroom-plugin-archive",
    "postroom-plugin-attachments",
    "postroom-plugin-calendar",
    "postroom-plugin-dedupe",
    "postroom-plugin-filter",
    "postroom-plugin-forward",
    "postroom-plugin-notify",
    "postroom-plugin-sieve",
];
const MIME: &str = "postroom-plugin-mime";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run by cargo only")?);
    let guests = Guests::of_workspace("../..");
    guests.rerun_if_changed(&[
        "plugins/archive",
        "plugins/attachments",
        "plugins/calendar",
        "plugins/dedupe",
        "plugins/filter",
        "plugins/forward",
        "plugins/notify",
        "plugins/mime",
        "plugins/sieve",
        "plugins/bundle/build.rs",
        "sdk/Cargo.toml",
        "sdk/mime",
        "sdk/src",
        "sdk/wit",
        "Cargo.toml",
        "Cargo.lock",
    ]);
    let packages: Vec<&str> = PLUGINS.iter().copied().chain([MIME]).collect();
    // Printed, not debugged: the text ends in the one line to run.
    let components = guests.build(&packages, &out).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1)
    });
    fs::write(out.join("components.rs"), list(&components)?)?;
    Ok(())
}

fn list(components: &[Component]) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    writeln!(code, "/// The bundled plugins: name and component, in the order of their names.")?;
    writeln!(code, "pub const BUNDLED: &[(&str, &[u8])] = &[")?;
    for Component { package, path } in components.iter().filter(|component| component.package != MIME) {
        let name = package.trim_start_matches(PREFIX);
        writeln!(code, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    writeln!(code, "];")?;
    for Component { path, .. } in components.iter().filter(|component| component.package == MIME) {
        writeln!(code, "/// The component that parses MIME, world `mime`.")?;
        writeln!(code, "pub const MIME: &[u8] = include_bytes!({path:?});")?;
    }
    Ok(code)
}
