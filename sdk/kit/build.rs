//! Collects the sources of the SDK, as a workspace of its own, and the templates, and writes the lists the library includes.

#[path = "build/manifest.rs"]
mod manifest;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What a plugin may name in its `Cargo.toml`; what these depend on by path comes along.
const CRATES: &[&str] = &["sdk", "sdk/bench"];

/// One directory a language.
const TEMPLATES: &str = "sdk/templates";

/// Beside the crates: their terms.
const BESIDE: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// What building leaves behind, and what only this workspace can run.
const LEFT_OUT: [&str; 9] =
    ["target", "tests", "benches", "examples", "node_modules", "dist", "__pycache__", ".venv", ".git"];

/// The path in what is written for the author, and where its octets are now.
type Files = BTreeMap<String, PathBuf>;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("run by cargo only")?);
    let root = fs::canonicalize(here.join("../.."))?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("run by cargo only")?);
    let mut code = String::new();
    list(&mut code, "SDK", "The SDK as a workspace of its own.", &sdk(&root, &out.join("sdk"))?)?;
    templates(&mut code, &root.join(TEMPLATES))?;
    let lock = watched(root.join("Cargo.lock"));
    writeln!(
        code,
        "/// The versions the SDK is tested with.\npub const LOCK: &[u8] = include_bytes!({lock:?});"
    )?;
    fs::write(out.join("files.rs"), code)?;
    Ok(())
}

fn sdk(root: &Path, out: &Path) -> Result<Files, Box<dyn Error>> {
    let workspace = manifest::Workspace::read(&watched(root.join("Cargo.toml")))?;
    let mut files: Files = BESIDE.iter().map(|name| ((*name).to_owned(), watched(root.join(name)))).collect();
    let mut used = Vec::new();
    let mut waiting: Vec<String> = CRATES.iter().map(|path| (*path).to_owned()).collect();
    let mut crates = Vec::new();
    while let Some(path) = waiting.pop() {
        if crates.contains(&path) {
            continue;
        }
        let package = manifest::Package::read(&root.join(&path).join("Cargo.toml"))?;
        sources(&root.join(&path), &path, &mut files)?;
        // A crate that lies within another one's directory is no part of it.
        files.insert(
            format!("{path}/Cargo.toml"),
            write(out, &format!("{path}/Cargo.toml"), &package.text())?,
        );
        let named = package.inherited();
        waiting.extend(named.iter().filter_map(|name| workspace.path_of(name)));
        used.extend(named);
        crates.push(path);
    }
    crates.sort();
    let text = workspace.reduced(&crates, &used);
    files.insert("Cargo.toml".to_owned(), write(out, "Cargo.toml", &text)?);
    Ok(files)
}

/// Everything below `directory` but what is left out, and but other packages.
fn sources(directory: &Path, name: &str, files: &mut Files) -> Result<(), Box<dyn Error>> {
    watched(directory.to_owned());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file_name =
            entry.file_name().into_string().map_err(|name| format!("{name:?} is no UTF-8 text"))?;
        let (path, below) = (entry.path(), format!("{name}/{file_name}"));
        if LEFT_OUT.contains(&file_name.as_str()) || path == directory.join("templates") {
            continue;
        }
        if !path.is_dir() {
            files.insert(below, watched(path));
        } else if !path.join("Cargo.toml").exists() {
            sources(&path, &below, files)?;
        }
    }
    Ok(())
}

fn templates(code: &mut String, directory: &Path) -> Result<(), Box<dyn Error>> {
    watched(directory.to_owned());
    let mut languages = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let language = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !path.is_dir() {
            continue;
        }
        let mut found = Files::new();
        sources(&path, "", &mut found)?;
        let files: Files =
            found.into_iter().map(|(name, at)| (name.trim_start_matches('/').to_owned(), at)).collect();
        list(code, &language.to_uppercase(), &format!("The template for {language}."), &files)?;
        languages.push(language);
    }
    languages.sort();
    writeln!(code, "/// The templates by language, in the order of their names.")?;
    writeln!(code, "pub const TEMPLATES: &[(&str, &[File])] = &[")?;
    for language in &languages {
        writeln!(code, "    ({language:?}, {}),", language.to_uppercase())?;
    }
    writeln!(code, "];")?;
    Ok(())
}

fn list(code: &mut String, name: &str, what: &str, files: &Files) -> std::fmt::Result {
    writeln!(code, "/// {what}\npub const {name}: &[File] = &[")?;
    for (path, at) in files {
        writeln!(code, "    File {{ path: {path:?}, octets: include_bytes!({at:?}) }},")?;
    }
    writeln!(code, "];")
}

fn write(out: &Path, name: &str, text: &str) -> std::io::Result<PathBuf> {
    let path = out.join(name);
    fs::create_dir_all(path.parent().unwrap_or(out))?;
    fs::write(&path, text)?;
    Ok(path)
}

/// Cargo runs this again when it changes.
fn watched(path: PathBuf) -> PathBuf {
    println!("cargo::rerun-if-changed={}", path.display());
    path
}
