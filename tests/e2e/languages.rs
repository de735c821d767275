//! Plugins in other languages than Rust, built as their authors build them and run by the real binary.
//!
//! The first build of a language fetches its compiler with `npm` or `pip`. What is built is kept in `target/languages` and made
//! anew when a file of the example changes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use postroom_mail::{Digest, Name, Octets, Provenance, Timestamp, Uid};
use postroom_sandbox::{Grants, KvRead, Limits, Message, NoKv, Sandbox, SandboxConfig, SinkKind, StepConfig};
use serde_json::Value;
use toml::Table;

use crate::support::{ARCHIVE, Bench, account, authority, maildrop};

/// What building leaves behind; the rest of a project is its sources.
const MADE: [&str; 4] = ["node_modules", ".venv", "dist", "__pycache__"];

/// A debug build compiles an interpreter for longer than the default allows.
const PATIENCE: &str = "[limits]\ncompile_cpu = \"120s\"\n";

const PAPERS: &str = "[sinks.papers]\ntype = \"directory\"\npath = \"papers\"\n";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    JavaScript,
    Python,
}

impl Language {
    const ALL: [Self; 2] = [Self::JavaScript, Self::Python];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::JavaScript => &["node", "npm"],
            Self::Python => &["python3"],
        }
    }

    /// Where the compiler is installed, what is noted there of it, and the file that says which one is wanted.
    fn compiler(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::JavaScript => ("node_modules", "installed-package-lock.json", "package-lock.json"),
            Self::Python => (".venv", "installed-requirements.txt", "requirements.txt"),
        }
    }

    fn example(self) -> PathBuf {
        root().join("examples/plugins").join(self.plugin())
    }

    fn template(self) -> PathBuf {
        root().join("sdk/templates").join(self.name())
    }

    fn plugin(self) -> String {
        format!("vip-{}", self.name())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// What an author wrote: the files below a directory by their relative path.
fn sources(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            found.extend(
                sources(&path).into_iter().map(|(below, octets)| (format!("{name}/{below}"), octets)),
            );
        } else {
            found.insert(name, std::fs::read(&path).expect("a file"));
        }
    }
    found
}

fn words(manifest: &Table, section: &str) -> Vec<String> {
    let words = manifest[section]["command"].as_array().expect("a command").iter();
    words.map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// What it said, when it failed.
fn work(directory: &Path, words: &[String]) -> Result<(), String> {
    let output =
        Command::new(&words[0]).args(&words[1..]).current_dir(directory).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{words:?}: {}", String::from_utf8_lossy(&said)))
    }
}

/// Whether that is how `npm` and `pip` say that there is no registry to be reached.
fn is_offline(said: &str) -> bool {
    let signs = [
        "ENOTFOUND",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "EAI_AGAIN",
        "Failed to establish a new connection",
        "name resolution",
    ];
    signs.iter().any(|sign| said.contains(sign))
}

/// Also when the test passes, whose output nobody sees.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Tests of one process build one after the other: they share the directory.
static BUILDING: Mutex<()> = Mutex::new(());

/// The component of a language's example, after the example's own tests passed. `None`, and said why, when this machine has not
/// what its authors need.
pub(crate) fn built(language: Language) -> Option<PathBuf> {
    let is_missing = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    if let Some(program) = language.programs().iter().find(is_missing) {
        tell(&format!("not tested: plugins in {}, because there is no {program} here", language.name()));
        return None;
    }
    let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let files = sources(&language.example());
    let parts: Vec<&[u8]> = files.iter().flat_map(|(name, octets)| [name.as_bytes(), octets]).collect();
    let key = Digest::of_parts("languages/1", &parts).to_string();
    let project = root().join("target/languages").join(language.name());
    let manifest: Table = String::from_utf8_lossy(&files["plugin.toml"]).parse().expect("TOML");
    let component = project.join(manifest["build"]["component"].as_str().expect("a path"));
    let note = project.join("dist/sources");
    if component.is_file() && std::fs::read_to_string(&note).is_ok_and(|noted| noted == key) {
        return Some(component);
    }
    // What the compiler was installed into stays: the build itself sees whether it is still the right one.
    for (name, octets) in &files {
        let path = project.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, octets).expect("a file");
    }
    work(&project, &words(&manifest, "test")).expect("its own tests pass");
    match work(&project, &words(&manifest, "build")) {
        Ok(()) => {}
        Err(said) if is_offline(&said) => {
            tell(&format!(
                "not tested: plugins in {}, because their compiler cannot be fetched",
                language.name()
            ));
            return None;
        }
        Err(said) => panic!("{said}"),
    }
    std::fs::write(note, key).expect("a note");
    Some(component)
}

/// Lends a new project the compiler that was installed for the example, when it wants exactly that one. Otherwise its build
/// installs its own.
pub(crate) fn lend_compiler(language: Language, project: &Path) {
    let (directory, note, wanted) = language.compiler();
    let kept = root().join("target/languages").join(language.name()).join(directory);
    let name = project.file_name().expect("a name").to_string_lossy().into_owned();
    let wanted = std::fs::read_to_string(project.join(wanted)).expect("what the template wrote");
    let installed = std::fs::read_to_string(kept.join(note)).unwrap_or_default();
    let own = project.join(directory);
    if installed.replace(&language.plugin(), &name) != wanted || own.exists() {
        return;
    }
    std::fs::create_dir(&own).expect("a directory");
    for entry in std::fs::read_dir(&kept).expect("it is installed").flatten() {
        if entry.file_name() != note {
            symlink(entry.path(), own.join(entry.file_name())).expect("a link");
        }
    }
    std::fs::write(own.join(note), wanted).expect("a note");
}

fn fixture(language: Language, name: &str) -> Vec<u8> {
    std::fs::read(language.example().join("fixtures").join(name)).expect("a fixture")
}

/// The example as a step.
fn step(more: &str) -> String {
    format!(
        "[[pipelines.main.steps]]\nname = \"vip\"\nplugin = \"./vip.wasm\"\n\
         settings = {{ sink = \"papers\", senders = [\"boss@shop.example\"], types = [\"application/pdf\"], max-size = 1000 }}\n{more}\n"
    )
}

const GRANTED: &str = "grants = { sinks = [\"papers\"] }";

/// It asks for nothing but its contract, decides as its fixtures say, and a message it cannot handle costs no other.
async fn works(language: Language) {
    let Some(component) = built(language) else { return };
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails = ["plan.eml", "too-large.eml", "newsletter.eml"];
    let server = maildrop(&identity, mails.iter().map(|name| fixture(language, name)).collect()).await;
    std::fs::copy(component, bench.path("vip.wasm")).expect("a copy");
    let account = format!("{PATIENCE}{}", account("home", server.addr().port(), ""));
    bench.config(&format!("{account}{PAPERS}{}{ARCHIVE}", step(GRANTED)));

    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 2, "{summary:#}");
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 2);
    let papers = bench.names("papers");
    assert!(matches!(&papers[..], [one] if one.ends_with("/plan.pdf")), "{papers:?}");
    assert_eq!(std::fs::read(bench.path("papers").join(&papers[0])).expect("the paper"), b"%PDF-1.7");
    // The text of what was thrown is what the operator sees.
    bench.postroom(&["queue", "ls"]).await.expect(0).says(&["large.pdf has 1008 octets; max-size is 1000"]);

    bench.write("plan.eml", fixture(language, "plan.eml"));
    let tried = bench.postroom(&["try", "plan.eml", "--json"]).await.expect(0).json();
    assert_eq!(tried["plan"]["labels"], serde_json::json!(["vip"]), "{tried:#}");
    let stored = tried["plan"]["effects"].as_array().expect("effects");
    assert_eq!(stored.iter().filter(|effect| effect["sink"] == "papers").count(), 1, "{tried:#}");

    // A refusal of the host is an exception there, and tells the operator what would be granted.
    bench.config(&format!("{account}{PAPERS}{}{ARCHIVE}", step("")));
    bench.postroom(&["try", "plan.eml"]).await.expect(65).says(&["denied", "sinks = [\"papers\"]"]);
    let wrong = step(GRANTED).replace("max-size = 1000", "max-size = \"much\", colour = \"red\"");
    bench.config(&format!("{account}{PAPERS}{wrong}{ARCHIVE}"));
    let said = bench.postroom(&["check"]).await;
    assert_ne!(said.code, Some(0), "{said:#?}");
    said.says(&["max-size: must be of type integer", "colour: is not known"]);
    let tight = step(&format!("{GRANTED}\nlimits = {{ memory = \"4 MiB\" }}"));
    bench.config(&format!("{account}{PAPERS}{tight}{ARCHIVE}"));
    let said = bench.postroom(&["check"]).await;
    assert_ne!(said.code, Some(0), "{said:#?}");
    said.says(&["used more than 4 MiB of memory", "limits = { memory = … }"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_javascript_works_like_any_other() {
    works(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_works_like_any_other() {
    works(Language::Python).await;
}

#[test]
fn plugins_in_other_languages_want_nothing_but_the_contract() {
    for language in Language::ALL {
        let Some(component) = built(language) else { continue };
        let bench = Bench::new();
        std::fs::copy(component, bench.path("vip.wasm")).expect("a copy");
        let seen = bench.run(&["plugin", "inspect", "./vip.wasm", "--json"]);
        let seen = seen.expect(0).json();
        let imports = seen["imports"].as_array().expect("imports").iter();
        let mut found: Vec<_> =
            imports.map(|import| import["name"].as_str().expect("a name").to_owned()).collect();
        let wanted: Vec<_> = ["content", "effects", "log", "mail", "types"]
            .iter()
            .map(|interface| format!("postroom:plugin/{interface}@0.1.0"))
            .collect();
        found.sort();
        assert_eq!(found, wanted, "{language:?}");
        assert_eq!(seen["description"]["name"], Value::from(language.plugin()));
        assert_eq!(seen["problem"], Value::Null);
    }
}

#[test]
fn each_example_is_what_the_template_writes() {
    for language in Language::ALL {
        let mut expected = sources(&language.template());
        for octets in expected.values_mut() {
            let text = String::from_utf8(std::mem::take(octets)).expect("templates are text");
            *octets = text.replace("{{name}}", &language.plugin()).into_bytes();
        }
        let found = sources(&language.example());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, octets) in &expected {
            let same = found[name] == *octets;
            assert!(same, "{name} of {} is not what the template of {language:?} writes", language.plugin());
        }
    }
}

#[test]
fn each_template_carries_the_contract_as_it_is() {
    let contract = std::fs::read(root().join("sdk/wit/plugin.wit")).expect("the contract");
    for language in Language::ALL {
        let copy = language.template().join("wit/deps/postroom-plugin/plugin.wit");
        let same = std::fs::read(&copy).expect("the copy") == contract;
        assert!(same, "copy sdk/wit/plugin.wit to {} and to the example", copy.display());
    }
}

/// One line for each language: run with `--ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn what_plugins_in_other_languages_cost() {
    for language in Language::ALL {
        let Some(component) = built(language) else { continue };
        let octets = std::fs::read(component).expect("the component");
        let cache = tempfile::tempdir().expect("a directory");
        let config = SandboxConfig { cache_dir: Some(cache.path().to_owned()), ..SandboxConfig::default() };
        let mut loads = Vec::new();
        let mut usages = Vec::new();
        for _ in 0..2 {
            let sandbox = Sandbox::new(&config).expect("a sandbox");
            let started = Instant::now();
            let loaded = sandbox.load(&octets).expect("it loads");
            loads.push(started.elapsed());
            let mime = sandbox.load_mime(postroom_bundle::MIME).expect("the parser");
            let plugin = loaded.admit(config_of_step()).expect("admitted");
            let message = message(fixture(language, "plan.eml"), mime);
            let kv: Arc<dyn KvRead> = Arc::new(NoKv);
            usages = (0..100).map(|_| plugin.handle(&message, &[], &kv).expect("it handles").usage).collect();
        }
        usages.sort_by_key(|usage| usage.cpu);
        let [cold, warm] = loads[..] else { panic!("two loads") };
        println!(
            "{}: {} octets; load {cold:?}, from the cache {warm:?}; a message {:?} of CPU time (median of 100), {} KiB of memory",
            language.name(),
            octets.len(),
            usages[usages.len() / 2].cpu,
            usages[usages.len() / 2].peak_memory >> 10,
        );
        assert!(usages[0].cpu < Duration::from_secs(2), "the limit every step has must be enough");
    }
}

fn config_of_step() -> StepConfig {
    let name = |text: &str| Name::new(text).expect("a name");
    StepConfig {
        pipeline: name("main"),
        step: name("vip"),
        grants: Grants { sinks: BTreeMap::from([(name("papers"), SinkKind::Object)]), ..Grants::default() },
        limits: Limits::default(),
        required: true,
        settings: r#"{"sink":"papers","senders":["boss@shop.example"]}"#.to_owned(),
    }
}

fn message(octets: Vec<u8>, mime: postroom_sandbox::Mime) -> Arc<Message> {
    let provenance = Provenance {
        account: Name::new("home").expect("a name"),
        uid: Uid(b"1".to_vec()),
        ordinal: 0,
        digest: Digest::of(&octets),
        size: octets.len() as u64,
        retrieved: Timestamp(1_795_514_400_000),
    };
    let octets: Arc<dyn Octets> = Arc::new(octets);
    Arc::new(Message::new(provenance, octets, Some(Arc::new(mime))))
}
