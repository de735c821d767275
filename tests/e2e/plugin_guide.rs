//! `docs/plugins.md`, word for word: an empty folder, the real binary, every command of the section of a language, and all
//! that the guide says they print.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::languages::{self, Language};
use crate::support::{Bench, caches};

/// Stands in the guide for whatever is there: a part of a line, or lines.
const ANYTHING: &str = "…";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A section of the guide, from its heading to the next of its kind.
fn section(title: &str) -> String {
    let guide = read("docs/plugins.md");
    let heading = format!("\n## {title}\n");
    let from =
        guide.find(&heading).unwrap_or_else(|| panic!("the guide has no section {title}")) + heading.len();
    let rest = &guide[from..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts.map(|part| part.split("\n```").next().expect("a block ends").to_owned()).collect()
}

/// A command of the guide and what is shown of its output.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn commands(section: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for line in blocks(section, "console").iter().flat_map(|block| block.lines()) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(Shown { command: command.to_owned(), output: Vec::new() }),
            (None, Some(shown)) => shown.output.push(line.to_owned()),
            (None, None) => panic!("output before any command: {line}"),
        }
    }
    commands
}

/// Whether a line is as shown: each `…` stands for any text, and columns may be as wide as they like.
fn fits(shown: &str, line: &str) -> bool {
    let (shown, line) = (squeezed(shown), squeezed(line));
    let Some((first, others)) = shown.split_once(ANYTHING) else { return shown == line };
    let Some(mut rest) = line.strip_prefix(first.trim_end()) else { return false };
    let mut pieces: Vec<&str> = others.split(ANYTHING).map(str::trim).collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// With one space for many.
fn squeezed(line: &str) -> String {
    let mut text = String::new();
    for ch in line.trim_end().chars() {
        if ch != ' ' || !text.ends_with(' ') {
            text.push(ch);
        }
    }
    text
}

/// Every shown line is there, in this order; a failing command is one whose failure is shown.
fn check(shown: &Shown, output: &str, success: bool) {
    let mut lines = output.lines();
    for wanted in shown.output.iter().filter(|line| !line.trim().is_empty() && line.trim() != ANYTHING) {
        assert!(
            lines.any(|line| fits(wanted, line)),
            "`{}` did not print {wanted:?} (where the guide has it), but:\n{output}",
            shown.command
        );
    }
    let fails = shown.output.iter().any(|line| line.starts_with("error:") || line.starts_with("FAILED"));
    assert_eq!(success, !fails, "`{}` printed:\n{output}", shown.command);
}

/// Runs the commands of a section in an empty folder, one after the other, as somebody who reads along would. `enter` is told
/// of every directory the guide goes into.
pub(crate) fn follow(title: &str, enter: impl Fn(&Path)) -> Bench {
    let bench = Bench::new();
    let tools = bench.path(".tools");
    std::fs::create_dir(&tools).expect("a directory");
    let binary = env!("CARGO_BIN_EXE_postroom-host");
    std::os::unix::fs::symlink(binary, tools.join("postroom")).expect("a link");
    let path = std::env::var("PATH").expect("a PATH");
    let mut directory = bench.path("empty");
    std::fs::create_dir(&directory).expect("a directory");
    for shown in commands(&section(title)) {
        if let Some(to) = shown.command.strip_prefix("cd ") {
            directory = std::fs::canonicalize(directory.join(to)).expect("a directory of the guide");
            enter(&directory);
            continue;
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{{ {}\n}} 2>&1", shown.command)])
            .current_dir(&directory)
            .stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", tools.display()));
        // What is compiled for one run of this test serves the next.
        command.env("CARGO_BUILD_BUILD_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-builds"));
        command.env("XDG_CACHE_HOME", caches());
        for name in [
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "POSTROOM_CONFIG",
        ] {
            command.env_remove(name);
        }
        let output = command.output().expect("a shell");
        check(&shown, &String::from_utf8_lossy(&output.stdout), output.status.success());
    }
    bench
}

#[test]
fn the_guide_followed_word_for_word_gives_a_tested_pinned_plugin() {
    let bench = follow("In Rust", |_| ());
    let config = std::fs::read_to_string(bench.path("empty/postroom.toml")).expect("the guide wrote one");
    let component = std::fs::read(bench.path("empty/invoices/target/wasm32-wasip2/release/invoices.wasm"));
    let digest = postroom_mail::Digest::of(&component.expect("the guide built one"));
    assert!(config.contains(&format!("sha256 = \"{digest}\"")), "{config}");
    assert!(read_expected(&bench).starts_with("label paper\n"), "{}", read_expected(&bench));
}

/// The section of another language, where this machine has what its authors need.
fn follow_language(language: Language, title: &str) {
    if languages::built(language).is_none() {
        return;
    }
    let project = Path::new("empty/vip");
    let lend = |directory: &Path| {
        if directory.ends_with(project) {
            languages::lend_compiler(language, directory);
        }
    };
    let bench = follow(title, lend);
    let config = std::fs::read_to_string(bench.path("empty/postroom.toml")).expect("the guide wrote one");
    let component = std::fs::read(bench.path("empty/vip/dist/plugin.wasm")).expect("the guide built one");
    let digest = postroom_mail::Digest::of(&component);
    assert!(config.contains(&format!("sha256 = \"{digest}\"")), "{config}");
    assert!(!bench.path("empty/vip/postroom-sdk").exists(), "Rust's SDK is of no use to {}", language.name());
}

#[test]
fn the_guide_followed_word_for_word_gives_a_tested_pinned_plugin_in_javascript() {
    follow_language(Language::JavaScript, "In JavaScript");
}

#[test]
fn the_guide_followed_word_for_word_gives_a_tested_pinned_plugin_in_python() {
    follow_language(Language::Python, "In Python");
}

fn read_expected(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("empty/tests/invoice.expected")).expect("the guide blessed one")
}

#[test]
fn the_code_of_the_guide_is_that_of_the_template() {
    let section = section("In Rust");
    let template = |path: &str| read(&format!("sdk/templates/rust/{path}")).trim_end().to_owned();
    assert_eq!(blocks(&section, "rust"), [template("src/lib.rs"), template("src/tests.rs")]);
    assert_eq!(blocks(&section, "toml"), [template("fixtures/fixture.toml")]);
}

#[test]
fn the_code_the_guide_shows_of_other_languages_is_in_their_templates() {
    for (title, fence, path) in [
        ("In JavaScript", "javascript", "javascript/src/decide.js"),
        ("In Python", "python", "python/decide.py"),
    ] {
        let shown = blocks(&self::section(title), fence);
        let template = read(&format!("sdk/templates/{path}"));
        assert!(!shown.is_empty(), "{title} shows no code");
        shown.iter().for_each(|block| assert!(template.contains(block.as_str()), "{path} has no\n{block}"));
    }
}

#[test]
fn what_the_guide_shows_is_held_against_what_is_printed() {
    assert!(fits("ok       invoice     …", "ok       invoice       629 µs CPU    1.1 MiB memory"));
    assert!(fits("sha256 = \"…\"", "sha256 = \"00ff\""));
    assert!(fits("imports     …mail@0.1.0, effects", "imports     types, mail@0.1.0, effects"));
    assert!(fits("plain", "plain") && fits("…end", "at the end"));
    for (shown, line) in
        [("plain", "plainer"), ("ok …", "FAILED"), ("a … c", "a b d"), ("  - x", "- x"), ("x …y", "x y z")]
    {
        assert!(!fits(shown, line), "{shown} {line}");
    }
}
