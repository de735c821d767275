//! The contract only grows, and components of every version of it still run: see `docs/abi.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use postroom_mail::Action;
use postroom_sandbox::{Outcome, StepConfig};
use wit_parser::{
    FunctionKind, Handle, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, WorldItem, WorldKey,
};

use crate::guests::{all_grants, message, no_kv, octets, said, sandbox, step, texts};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directories of `tests/abi`, one a version.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/abi")).expect("the corpus");
    let mut versions: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

const MAIL: &[u8] = b"From: a@shop.example\r\nTo: b@shop.example\r\nSubject: Your receipt\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\n\
[The bill.][JVBERi0xLjc=][]\r\n";

fn run(component: &Path, settings: &str) -> Outcome {
    let octets = std::fs::read(component).unwrap_or_else(|error| panic!("{}: {error}", component.display()));
    assert!(octets.len() < 256 << 10, "{} is too large to keep", component.display());
    let config = StepConfig { grants: all_grants(), settings: settings.to_owned(), ..step("") };
    let plugin = sandbox().load(&octets).and_then(|component| component.admit(config));
    let plugin = plugin.unwrap_or_else(|error| panic!("{}: {error}", component.display()));
    let mime = sandbox().load_mime(&crate::guests::octets("tree")).unwrap();
    let outcome = plugin.handle(&message(MAIL, Some(mime.into())), &[], &no_kv());
    outcome.unwrap_or_else(|error| panic!("{}: {error}: {:?}", component.display(), texts(&error.log)))
}

#[test]
fn components_of_every_version_run_as_they_did() {
    for version in versions() {
        let outcome = run(&version.join("echo.wasm"), r#"{"mode":"effects"}"#);
        let actions: Vec<_> = outcome.effects.iter().map(|effect| &effect.action).collect();
        assert!(
            matches!(
                actions[..],
                [Action::Store { .. }, Action::FileInto { .. }, Action::Send { .. }, Action::Send { .. }]
            ),
            "{actions:?}"
        );
        assert_eq!(outcome.labels.len(), 1);
        assert!(outcome.stop && outcome.verdict.is_some());
        let outcome = run(&version.join("echo.wasm"), r#"{"mode":"survey"}"#);
        assert_eq!(said(&outcome.log, "subject"), "Some(\"Your receipt\")");
        let outcome = run(&version.join("echo.wasm"), r#"{"mode":"blobs"}"#);
        assert_eq!(said(&outcome.log, "raw"), "true");

        let outcome = run(&version.join("receipts.wasm"), r#"{"sink":"vault","words":["receipt"]}"#);
        assert_eq!(outcome.labels[0].as_str(), "receipt");
        let [effect] = &outcome.effects[..] else { panic!("{:?}", outcome.effects) };
        assert!(
            matches!(&effect.action, Action::Store { key, .. } if key.as_str().ends_with("evil.pdf")),
            "{effect:?}"
        );
        assert_eq!(effect.size, 8);

        let outcome = run(
            &version.join("archive.wasm"),
            r#"{"sink":"vault","key":"{account}/{date:%Y}/{sha256:16}.eml"}"#,
        );
        let [effect] = &outcome.effects[..] else { panic!("{:?}", outcome.effects) };
        assert_eq!(effect.size, MAIL.len() as u64);
        assert!(
            matches!(&effect.action, Action::Store { key, .. } if key.as_str().starts_with("home/2026/")),
            "{effect:?}"
        );
    }
}

#[test]
fn the_contract_of_every_version_is_still_whole() {
    let now = Contract::read(&root().join("sdk/wit/plugin.wit"));
    for version in versions() {
        let problems = Contract::read(&version.join("plugin.wit")).broken_by(&now);
        assert!(problems.is_empty(), "{}: {}", version.display(), problems.join("\n"));
    }
}

#[test]
fn a_change_of_the_contract_is_noticed() {
    let path = root().join("tests/abi/0.1.0/plugin.wit");
    let text = std::fs::read_to_string(&path).unwrap();
    let frozen = Contract::parse(&text);
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        frozen.broken_by(&Contract::parse(&text.replacen(from, to, 1)))
    };
    // Allowed: a new function of an imported interface, a new interface.
    assert_eq!(changed("  stop: func();", "  stop: func();\n  go: func();"), Vec::<String>::new());
    assert_eq!(
        changed("interface log {", "interface more { a: func(); }\ninterface log {"),
        Vec::<String>::new()
    );
    // Not allowed.
    let cases = [
        ("  stop: func();", "", "effects.stop is gone"),
        ("  retry-after: func(seconds: u32);", "  retry-after: func(seconds: u64);", "effects.retry-after"),
        (
            "record address { name: option<string>, email: string }",
            "record address { name: string, email: string }",
            "types.address",
        ),
        (
            "enum level { trace, debug, info, warn, error }",
            "enum level { trace, debug, info, warn, error, fatal }",
            "types.level",
        ),
        ("    missing,\n", "    missing,\n    gone,\n", "types.fault"),
        ("  describe: func() -> string;", "  describe: func() -> string;\n  more: func();", "handler"),
        ("  import kv;\n", "", "world plugin no longer imports"),
        ("  export handler;\n}", "  export handler;\n  export more: func();\n}", "world plugin exports"),
        (
            "    size: func() -> u64;\n    /// Lower",
            "    size: func() -> u32;\n    /// Lower",
            "content.[method]blob.size",
        ),
    ];
    for (from, to, says) in cases {
        let problems = changed(from, to);
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:?}");
    }
}

/// A guest of today is one of the newest version: the corpus is not older than the contract.
#[test]
fn the_newest_version_of_the_corpus_is_that_of_the_contract() {
    let now = Contract::read(&root().join("sdk/wit/plugin.wit"));
    let version = now.resolve.packages[now.package].name.version.clone().expect("a version");
    let newest = versions().pop().expect("one");
    assert_eq!(newest.file_name().and_then(|name| name.to_str()), Some(version.to_string().as_str()));
    assert!(!octets("echo").is_empty());
}

/// A contract, resolved.
struct Contract {
    resolve: Resolve,
    package: PackageId,
}

impl Contract {
    fn read(path: &Path) -> Self {
        Self::parse(
            &std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    }

    fn parse(text: &str) -> Self {
        let mut resolve = Resolve::default();
        let package =
            resolve.push_str("plugin.wit", text).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        Self { resolve, package }
    }

    /// What a component made for this contract would miss in `later`.
    fn broken_by(&self, later: &Self) -> Vec<String> {
        let mut problems = Vec::new();
        let exported = self.exported();
        for (name, id) in &self.resolve.packages[self.package].interfaces {
            let Some(other) = later.resolve.packages[later.package].interfaces.get(name) else {
                problems.push(format!("interface {name} is gone"));
                continue;
            };
            let (before, after) = (self.items(*id), later.items(*other));
            for (item, text) in &before {
                match after.iter().find(|(other, _)| other == item) {
                    None => problems.push(format!("{name}.{item} is gone")),
                    Some((_, other)) if other != text => {
                        problems.push(format!("{name}.{item} was {text} and is {other}"));
                    }
                    Some(_) => {}
                }
            }
            // What the host calls must be there in every component: it cannot grow.
            if exported.contains(name.as_str()) && before.len() != after.len() {
                problems.push(format!("{name} is exported by components, and has other members now"));
            }
        }
        for (name, id) in &self.resolve.packages[self.package].worlds {
            let Some(other) = later.resolve.packages[later.package].worlds.get(name) else {
                problems.push(format!("world {name} is gone"));
                continue;
            };
            let (before, after) = (&self.resolve.worlds[*id], &later.resolve.worlds[*other]);
            let imported = later.keys(after.imports.keys());
            let gone: Vec<_> = self.keys(before.imports.keys()).difference(&imported).cloned().collect();
            if !gone.is_empty() {
                problems.push(format!("world {name} no longer imports {gone:?}"));
            }
            let (was, is) = (self.keys(before.exports.keys()), later.keys(after.exports.keys()));
            if was != is {
                problems.push(format!("world {name} exports {is:?}, not {was:?}"));
            }
        }
        problems
    }

    /// Interfaces that components export.
    fn exported(&self) -> BTreeSet<String> {
        let worlds = self.resolve.packages[self.package].worlds.values();
        let items = worlds.flat_map(|id| self.resolve.worlds[*id].exports.values());
        items
            .filter_map(|item| match item {
                WorldItem::Interface { id, .. } => self.resolve.interfaces[*id].name.clone(),
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            })
            .collect()
    }

    fn keys<'a>(&self, keys: impl Iterator<Item = &'a WorldKey>) -> BTreeSet<String> {
        keys.map(|key| match key {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) => self.resolve.interfaces[*id].name.clone().unwrap_or_default(),
        })
        .collect()
    }

    /// Types and functions of an interface, written out.
    fn items(&self, id: InterfaceId) -> Vec<(String, String)> {
        let interface = &self.resolve.interfaces[id];
        let types = interface.types.iter().map(|(name, id)| (name.clone(), self.definition(*id)));
        let functions = interface.functions.values().map(|function| {
            let kind = match &function.kind {
                FunctionKind::Freestanding => "func",
                FunctionKind::Method(_) => "method",
                FunctionKind::Static(_) => "static",
                FunctionKind::Constructor(_) => "constructor",
                _ => "async",
            };
            let params =
                function.params.iter().map(|param| format!("{}: {}", param.name, self.used(&param.ty)));
            let params: Vec<_> = params.collect();
            let result = function.result.as_ref().map(|result| self.used(result));
            (function.name.clone(), format!("{kind}({}) -> {result:?}", params.join(", ")))
        });
        types.chain(functions).collect()
    }

    /// A type where it is used: by its name and interface, when it has one.
    fn used(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}") };
        match &self.resolve.types[*id].name {
            // An alias of `use` is the type itself.
            Some(name) => match self.resolve.types[*id].kind {
                TypeDefKind::Type(Type::Id(origin)) if self.resolve.types[origin].name.is_some() => {
                    self.used(&Type::Id(origin))
                }
                _ => name.clone(),
            },
            None => self.definition(*id),
        }
    }

    fn definition(&self, id: TypeId) -> String {
        let maybe = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.used(ty));
        let named = |parts: Vec<(&String, String)>| {
            parts.iter().map(|(name, ty)| format!("{name}: {ty}")).collect::<Vec<_>>().join(", ")
        };
        match &self.resolve.types[id].kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| (&field.name, self.used(&field.ty)));
                format!("record {{ {} }}", named(fields.collect()))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| (&case.name, maybe(&case.ty)));
                format!("variant {{ {} }}", named(cases.collect()))
            }
            TypeDefKind::Enum(of) => {
                let cases: Vec<_> = of.cases.iter().map(|case| case.name.as_str()).collect();
                format!("enum {{ {} }}", cases.join(", "))
            }
            TypeDefKind::Flags(flags) => {
                let flags: Vec<_> = flags.flags.iter().map(|flag| flag.name.as_str()).collect();
                format!("flags {{ {} }}", flags.join(", "))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.used(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Option(ty) => format!("option<{}>", self.used(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.used(ty)),
            TypeDefKind::Result(of) => format!("result<{}, {}>", maybe(&of.ok), maybe(&of.err)),
            TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", self.used(&Type::Id(*id))),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.used(&Type::Id(*id))),
            TypeDefKind::Type(ty) => format!("= {}", self.used(ty)),
            TypeDefKind::Resource => "resource".to_owned(),
            other => other.as_str().to_owned(),
        }
    }
}
