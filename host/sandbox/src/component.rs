//! A component, from its octets to something that can be admitted. The octets are read once by the caller; what was
//! hashed is what is compiled. Everything that can be refused without compiling is refused before.

use std::sync::Arc;

use postroom_contract::{COMPONENT_MAX, Capability};
use postroom_mail::Digest;
use postroom_mail::rules::neutral;
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;

use crate::error::LoadError;

/// Octets of a component: the hard maximum of the limit of a step, which is checked when it is admitted.
pub const SIZE_CAP: u64 = COMPONENT_MAX;

/// Imports, and exports. Counted here, since their names are kept before the engine looks at the octets.
const NAMES: usize = 1000;
/// Octets of one name. The longest that mean something here have about 40.
const NAME: usize = 256;
/// Components and modules inside each other.
const DEPTH: u32 = 32;

const PACKAGE: &str = "postroom:plugin/";
const VERSION: &str = "0.1";
/// What the contract offers. `types` comes along with the others.
const OFFERED: [&str; 7] = ["types", "content", "mail", "effects", "kv", "fetch", "log"];
/// What of WASI is linked, inert.
const BASELINE: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
];

/// One interface a component wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// With version: `postroom:plugin/mail@0.1.0`.
    pub name: String,
    /// What has to be granted for it.
    pub capability: Option<Capability>,
    /// Part of the inert baseline.
    pub wasi: bool,
    /// Whether there is such a thing here at all.
    pub known: bool,
}

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Plugin,
    Mime,
}

impl World {
    fn wanted(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Mime => "MIME parser",
        }
    }

    fn interface(self) -> &'static str {
        match self {
            Self::Plugin => "postroom:plugin/handler@0.1",
            Self::Mime => "postroom:plugin/structure@0.1",
        }
    }

    fn offers(self, interface: &str) -> bool {
        match self {
            Self::Plugin => OFFERED.contains(&interface),
            Self::Mime => ["types", "content", "log"].contains(&interface),
        }
    }
}

/// What the octets say about themselves, before compiling.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) imports: Arc<[Import]>,
    pub(crate) exports: Vec<String>,
}

impl Outline {
    /// Parses all sections; compiles nothing.
    pub(crate) fn read(octets: &[u8], world: World) -> Result<Self, LoadError> {
        let size = octets.len() as u64;
        check_kind(octets)?;
        let (imports, exports) = names(octets)?;
        let imports = imports.into_iter().map(|name| Import::classify(name, world)).collect();
        Ok(Self { digest: Digest::of(octets), size, imports, exports })
    }

    /// Whether it exports what the world needs and wants only what there is.
    pub(crate) fn check(&self, world: World) -> Result<(), LoadError> {
        if !self.exports.iter().any(|name| is_version(name, world.interface())) {
            let exports = self.exports.clone();
            return Err(LoadError::WrongWorld {
                wanted: world.wanted(),
                interface: world.interface(),
                exports,
            });
        }
        let unknown: Vec<String> =
            self.imports.iter().filter(|import| !import.known).map(|import| import.name.clone()).collect();
        if unknown.is_empty() { Ok(()) } else { Err(LoadError::UnknownImports { imports: unknown }) }
    }
}

impl Import {
    fn classify(name: String, world: World) -> Self {
        let (base, version) = name.split_once('@').unwrap_or((&name, ""));
        let own = base.strip_prefix(PACKAGE);
        let wasi = BASELINE.contains(&base) && is_version(version, "0.2");
        let known =
            wasi || own.is_some_and(|interface| world.offers(interface)) && is_version(version, VERSION);
        let capability = match own {
            Some("kv") => Some(Capability::Kv),
            Some("fetch") => Some(Capability::Fetch),
            _ => None,
        };
        Self { capability, wasi, known, name }
    }
}

/// Whether `name` is `prefix` or a patch release of it.
fn is_version(name: &str, prefix: &str) -> bool {
    let is_patch =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(is_patch))
}

/// Whether it is a component by its first octets, and no larger than one may be.
pub(crate) fn check_kind(octets: &[u8]) -> Result<(), LoadError> {
    let size = octets.len() as u64;
    if size > SIZE_CAP {
        return Err(LoadError::TooLarge { size, limit: SIZE_CAP });
    }
    if Engine::detect_precompiled(octets).is_some() {
        return Err(LoadError::Precompiled);
    }
    if Parser::is_core_wasm(octets) {
        return Err(LoadError::NotAComponent("it is a core module; build for wasm32-wasip2".to_owned()));
    }
    match Parser::is_component(octets) {
        true => Ok(()),
        false => Err(LoadError::NotAComponent("it does not start like one".to_owned())),
    }
}

/// Names of the outermost imports and exports.
fn names(octets: &[u8]) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let wrong = |text: String| LoadError::NotAComponent(text);
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(octets) {
        match payload.map_err(|error| wrong(error.to_string()))? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => {
                depth += 1;
                if depth > DEPTH {
                    return Err(wrong(format!("components lie in each other more than {DEPTH} deep")));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                check_count("imports", imports.len() + section.count() as usize)?;
                for import in section {
                    imports.push(checked_name(import.map_err(|error| wrong(error.to_string()))?.name.name)?);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                check_count("exports", exports.len() + section.count() as usize)?;
                for export in section {
                    exports.push(checked_name(export.map_err(|error| wrong(error.to_string()))?.name.name)?);
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// Names are shown to whoever judges a stranger's component: nothing in them may move a cursor or fill a screen.
fn checked_name(name: &str) -> Result<String, LoadError> {
    if name.len() <= NAME && name.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Ok(name.to_owned());
    }
    let shown = neutral(name, 40);
    Err(LoadError::NotAComponent(format!(
        "the name \"{shown}\" is none of an interface: too long, or not plain ASCII"
    )))
}

fn check_count(what: &str, count: usize) -> Result<(), LoadError> {
    match count > NAMES {
        true => Err(LoadError::NotAComponent(format!("it has {count} {what}, more than {NAMES}"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(name: &str, world: World) -> (bool, bool, Option<Capability>) {
        let import = Import::classify(name.to_owned(), world);
        (import.known, import.wasi, import.capability)
    }

    #[test]
    fn imports_are_told_apart_by_name_and_version() {
        let plugin = |name| classified(name, World::Plugin);
        assert_eq!(plugin("postroom:plugin/mail@0.1.0"), (true, false, None));
        assert_eq!(plugin("postroom:plugin/mail@0.1.7"), (true, false, None));
        assert_eq!(plugin("postroom:plugin/mail@0.2.0"), (false, false, None));
        assert_eq!(plugin("postroom:plugin/mail@0.10.0"), (false, false, None));
        assert_eq!(plugin("postroom:plugin/kv@0.1.0"), (true, false, Some(Capability::Kv)));
        assert_eq!(plugin("postroom:plugin/fetch@0.1.0"), (true, false, Some(Capability::Fetch)));
        assert_eq!(plugin("wasi:cli/exit@0.2.0"), (true, true, None));
        assert_eq!(plugin("wasi:cli/exit@0.3.0"), (false, false, None));
        assert_eq!(plugin("wasi:filesystem/types@0.2.6"), (false, false, None));
        assert_eq!(plugin("wasi:sockets/tcp@0.2.6"), (false, false, None));
        assert_eq!(plugin("anything"), (false, false, None));
        assert_eq!(plugin("wasi:cli/exit@0.2.0 (safe)"), (false, false, None));
        assert_eq!(plugin("wasi:cli/exit@0.2."), (false, false, None));
        assert_eq!(plugin("wasi:cli/exit@0.2.0-rc1"), (false, false, None));
        assert_eq!(classified("postroom:plugin/effects@0.1.0", World::Mime), (false, false, None));
        assert_eq!(classified("postroom:plugin/content@0.1.0", World::Mime), (true, false, None));
    }

    #[test]
    fn a_name_that_could_change_what_a_terminal_shows_is_refused() {
        assert!(checked_name("wasi:cli/exit@0.2.6").is_ok());
        for name in ["wasi:cli/exit@0.2.\u{1b}[31m", "a\nb", "a b", "é", &"a".repeat(257)] {
            let refused = checked_name(name).unwrap_err().to_string();
            assert!(refused.len() < 300 && !refused.contains(['\u{1b}', '\n']), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_component_is_refused_before_compiling() {
        let read = |octets: &[u8]| Outline::read(octets, World::Plugin).map(|_| ()).unwrap_err();
        assert!(matches!(read(b""), LoadError::NotAComponent(_)));
        assert!(matches!(read(b"\x7fELF rest of it"), LoadError::NotAComponent(_)));
        assert!(
            matches!(read(b"\0asm\x01\0\0\0"), LoadError::NotAComponent(text) if text.contains("core module"))
        );
        assert!(matches!(read(b"\0asm\x0d\0\x01\0\xff\xff\xff"), LoadError::NotAComponent(_)));
    }
}
