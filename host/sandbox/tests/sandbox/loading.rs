//! Loading and admitting: what is refused, with which words, before any mail is seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use postroom_mail::Digest;
use postroom_sandbox::{Capability, Limits, LoadError, Sandbox, SandboxConfig};

use crate::guests::{admit, component, octets, sandbox, step};

#[test]
fn a_component_tells_what_it_is_and_what_it_wants() {
    let bytes = octets("echo");
    let echo = component("echo");
    assert_eq!((echo.digest(), echo.size()), (Digest::of(&bytes), bytes.len() as u64));
    assert_eq!(echo.description()["name"], "echo");
    let kv: Vec<_> =
        echo.imports().iter().filter(|import| import.capability == Some(Capability::Kv)).collect();
    assert_eq!(kv.len(), 1);
    assert_eq!(kv[0].name, "postroom:plugin/kv@0.1.0");
    assert!(echo.imports().iter().any(|import| import.wasi && import.name.starts_with("wasi:cli/")));
    let spin = component("spin");
    assert!(spin.imports().iter().all(|import| import.capability.is_none()), "unused imports are not there");
}

#[test]
fn files_and_sockets_are_refused_with_the_complete_list() {
    let error = sandbox().load(&octets("snoop")).unwrap_err();
    let LoadError::UnknownImports { imports } = &error else { panic!("{error}") };
    for wanted in
        ["wasi:filesystem/types@", "wasi:filesystem/preopens@", "wasi:sockets/tcp@", "wasi:sockets/network@"]
    {
        assert!(imports.iter().any(|name| name.starts_with(wanted)), "{wanted}: {imports:?}");
    }
    assert!(
        imports.iter().all(|name| !name.starts_with("wasi:cli/") && !name.starts_with("postroom:")),
        "{imports:?}"
    );

    let inspection = sandbox().inspect(&octets("snoop")).unwrap();
    assert!(matches!(inspection.problem, Some(LoadError::UnknownImports { .. })));
    assert!(inspection.imports.iter().any(|import| !import.known && !import.wasi));
    assert_eq!(inspection.description, None);
}

#[test]
fn state_without_a_grant_is_refused_with_the_line_that_grants_it() {
    let mut config = step("survey");
    config.grants.kv = false;
    let error = admit("echo", config).unwrap_err();
    let LoadError::Ungranted { imports, line } = &error else { panic!("{error}") };
    assert_eq!(imports, &["postroom:plugin/kv@0.1.0"]);
    assert!(line.contains("kv = true") && error.to_string().contains(line.as_str()), "{error}");
}

#[test]
fn wrong_settings_are_refused_with_path_and_problem() {
    let error = admit("echo", step("wrong")).unwrap_err();
    let LoadError::Settings { problems } = &error else { panic!("{error}") };
    assert_eq!(problems[0].0, "mode");
    assert_eq!(error.to_string(), r#"the settings are wrong: mode: must not be "wrong"; and in general"#);
}

#[test]
fn limits_out_of_range_are_refused() {
    let mut config = step("survey");
    config.limits = Limits { memory: 1 << 40, ..Limits::default() };
    assert!(matches!(admit("echo", config).unwrap_err(), LoadError::Limits(text) if text.contains("memory")));
    let mut config = step("survey");
    config.limits = Limits { cpu: Duration::ZERO, ..Limits::default() };
    assert!(matches!(admit("echo", config).unwrap_err(), LoadError::Limits(text) if text.contains("cpu")));
}

#[test]
fn a_component_larger_than_its_step_allows_is_refused() {
    let mut config = step("survey");
    config.limits.component = 1000;
    let error = admit("echo", config).unwrap_err();
    let size = octets("echo").len() as u64;
    assert!(matches!(error, LoadError::TooLarge { size: found, limit: 1000 } if found == size), "{error}");
    assert!(error.to_string().contains("`limits.component` of the step"), "{error}");
}

#[test]
fn the_wrong_world_is_refused_both_ways() {
    let error = sandbox().load(&octets("tree")).unwrap_err();
    assert!(
        matches!(&error, LoadError::WrongWorld { exports, .. } if exports[0].contains("structure")),
        "{error}"
    );
    assert!(matches!(sandbox().load_mime(&octets("echo")).unwrap_err(), LoadError::WrongWorld { .. }));
}

#[test]
fn what_is_no_component_is_refused() {
    let load = |bytes: &[u8]| sandbox().load(bytes).unwrap_err();
    assert!(matches!(load(b"\0asm\x01\0\0\0"), LoadError::NotAComponent(_)));
    assert!(matches!(load(&vec![0; (64 << 20) + 1]), LoadError::TooLarge { .. }));
    let echo = octets("echo");
    for cut in [9, 100, echo.len() / 2, echo.len() - 1] {
        let error = load(&echo[..cut]);
        let refused = matches!(
            error,
            LoadError::NotAComponent(_) | LoadError::WrongWorld { .. } | LoadError::Refused(_)
        );
        assert!(refused, "cut at {cut}: {error}");
    }
}

#[test]
fn precompiled_code_is_never_accepted() {
    let precompiled = wasmtime::Engine::default().precompile_component(&octets("exit")).unwrap();
    let error = sandbox().load(&precompiled).unwrap_err();
    assert!(matches!(error, LoadError::Precompiled), "{error}");
}

#[test]
fn damaged_components_are_refused_or_harmless() {
    let echo = octets("exit");
    let mut state = 1_u64;
    for _ in 0..40 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut damaged = echo.clone();
        let at = (state >> 20) as usize % damaged.len();
        damaged[at] ^= (state >> 56) as u8 | 1;
        if let Ok(component) = sandbox().load(&damaged) {
            assert_ne!(component.digest(), Digest::of(&echo));
        }
    }
    assert!(sandbox().load(&echo).is_ok());
}

#[test]
fn compiled_code_is_kept_between_runs() {
    let directory = tempfile::tempdir().unwrap();
    let config = SandboxConfig { cache_dir: Some(directory.path().join("code")), ..SandboxConfig::default() };
    let load = || Sandbox::new(&config).unwrap().load(&octets("echo")).unwrap().digest();
    let digest = load();
    let kept = code(directory.path());
    assert!(!kept.is_empty(), "nothing was kept");
    assert_eq!(load(), digest);
    assert_eq!(code(directory.path()), kept, "compiled again");
}

/// The files that hold code, with the time each was written. Statistics of their use are left out.
fn code(path: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(code(&path));
        } else if path.extension().is_none() {
            files.insert(path, entry.metadata().unwrap().modified().unwrap());
        }
    }
    files
}
