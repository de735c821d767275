//! Compiling in a child: what it compiled is found, what is too much for it is given up, with which words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use postroom_mail::Digest;
use postroom_sandbox::{
    CompileError, CompileLimits, Compiler, LoadError, NOT_KEPT, REFUSED, Sandbox, SandboxConfig,
    compile_stdin,
};

use crate::busy;
use crate::guests::{octets, step};

/// What the children of the tests below do: this test binary, run with the name of this function.
#[test]
#[ignore = "a child of other tests"]
fn the_child_itself() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name).expect(name);
        arguments[at + 1].clone()
    };
    let number = |name: &str| after(name).parse::<u64>().expect("a number");
    let limits = CompileLimits { cpu: Duration::from_secs(number("--cpu")), memory: number("--memory") };
    let fuel = arguments.iter().any(|argument| argument == "--fuel");
    let code = match compile_stdin(Path::new(&after("--cache")), limits, fuel, std::io::stdin().lock()) {
        Ok(()) => 0,
        Err(LoadError::Compile(CompileError::NotKept { .. })) => NOT_KEPT,
        Err(LoadError::Refused(text)) => {
            eprintln!("{text}");
            REFUSED
        }
        Err(error) => {
            eprintln!("{error}");
            70
        }
    };
    std::process::exit(code.into());
}

pub(crate) fn compiler(limits: CompileLimits) -> Compiler {
    // After `--` all is a filter, and none but the first names a test.
    let arguments = ["compiling::the_child_itself", "--exact", "--ignored", "--nocapture", "--"];
    Compiler {
        program: std::env::current_exe().expect("this test"),
        arguments: arguments.map(Into::into).to_vec(),
        limits,
        trusted: BTreeSet::new(),
    }
}

/// Another program in the place of the compiler.
fn shell(script: &str, limits: CompileLimits) -> Compiler {
    let arguments = ["-c", script].map(Into::into).to_vec();
    Compiler { program: PathBuf::from("/bin/sh"), arguments, ..compiler(limits) }
}

fn sandbox(compiler: Compiler) -> Sandbox {
    let config = SandboxConfig { cache_dir: None, concurrency: 1, fuel: false };
    Sandbox::with_compiler(&config, compiler).expect("a sandbox")
}

fn fails(compiler: Compiler, octets: &[u8]) -> CompileError {
    match sandbox(compiler).load(octets).expect_err("it does not compile") {
        LoadError::Compile(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_child_compiled_is_found_by_the_parent() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        SandboxConfig { cache_dir: Some(directory.path().join("code")), concurrency: 1, fuel: false };
    for _ in 0..2 {
        let sandbox = Sandbox::with_compiler(&config, compiler(CompileLimits::default())).unwrap();
        let component = sandbox.load(&octets("echo")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sandbox.cache_use(), (1, 0), "the parent compiled nothing");
        assert!(component.admit(step("blobs")).is_ok());
        sandbox.load(&octets("echo")).unwrap();
        assert_eq!(sandbox.cache_use(), (2, 0));
    }
}

#[test]
fn without_a_cache_there_is_one_as_long_as_the_sandbox() {
    let sandbox = sandbox(compiler(CompileLimits::default()));
    sandbox.load(&octets("exit")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sandbox.cache_use(), (1, 0));
}

#[test]
fn what_counts_fuel_is_compiled_by_a_child_too() {
    let config = SandboxConfig { cache_dir: None, concurrency: 1, fuel: true };
    let sandbox = Sandbox::with_compiler(&config, compiler(CompileLimits::default())).unwrap();
    sandbox.load(&octets("exit")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sandbox.cache_use(), (1, 0));
}

#[test]
fn code_that_the_cache_cannot_keep_is_refused_and_never_compiled_by_the_parent() {
    let directory = tempfile::tempdir().unwrap();
    // Where the cache wants a directory, a file is: nothing can be written, as on a full disk.
    std::fs::write(directory.path().join("modules"), "").unwrap();
    let config = SandboxConfig { cache_dir: Some(directory.path().to_owned()), concurrency: 1, fuel: false };
    let sandbox = Sandbox::with_compiler(&config, compiler(CompileLimits::default())).unwrap();
    let error = sandbox.load(&octets("exit")).unwrap_err();
    assert!(matches!(error, LoadError::Compile(CompileError::NotKept { .. })), "{error}");
    assert!(error.may_pass() && error.to_string().contains("make room on that disk"), "{error}");
    assert_eq!(sandbox.cache_use(), (0, 0), "the parent did not even try");
    std::fs::remove_file(directory.path().join("modules")).unwrap();
    sandbox.load(&octets("exit")).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_child_that_says_it_is_well_and_left_no_code_is_not_believed() {
    let limits = CompileLimits::default();
    let error = fails(shell("exec cat > /dev/null", limits), &octets("exit"));
    assert!(matches!(error, CompileError::NotKept { .. }), "{error}");
}

#[test]
fn compiling_that_takes_too_much_cpu_time_is_given_up() {
    let bomb = busy::component(4000, 1000);
    let started = Instant::now();
    let limits = CompileLimits { cpu: Duration::from_secs(1), ..CompileLimits::default() };
    let error = fails(compiler(limits), &bomb);
    println!("{} octets: {error} (after {:?})", bomb.len(), started.elapsed());
    assert!(matches!(error, CompileError::Cpu { limit } if limit == limits.cpu), "{error}");
    assert!(
        error.to_string().starts_with("compiling the component took more than 1 s of CPU time"),
        "{error}"
    );
}

#[test]
fn compiling_that_needs_too_much_memory_is_given_up() {
    // One function: the compiler holds all of it at once.
    let bomb = busy::component(1, 1_000_000);
    let limits = CompileLimits { memory: 128 << 20, ..CompileLimits::default() };
    let error = fails(compiler(limits), &bomb);
    assert!(matches!(error, CompileError::Memory { limit } if limit == limits.memory), "{error}");
    assert!(
        error.to_string().starts_with("compiling the component needed more than 128 MiB of memory"),
        "{error}"
    );
}

#[test]
fn a_compiler_that_hangs_is_killed() {
    let limits = CompileLimits { cpu: Duration::from_millis(50), ..CompileLimits::default() };
    let error = fails(shell("exec sleep 3600", limits), &octets("exit"));
    assert!(matches!(error, CompileError::Wall { .. }), "{error}");
    // Nor does one that never reads what it is given hold anything up.
    let error = fails(shell("exec sleep 3600", limits), &busy::component(200, 1000));
    assert!(matches!(error, CompileError::Wall { .. }), "{error}");
}

#[test]
fn a_compiler_that_crashes_costs_its_component_only() {
    let limits = CompileLimits::default();
    let error = fails(shell("echo 'a \\033[31mmistake' >&2; kill -SEGV $$", limits), &octets("exit"));
    let CompileError::Crashed(text) = &error else { panic!("{error}") };
    assert!(text.contains("SIGSEGV") && !text.contains('\u{1b}'), "{text}");
    let missing = Compiler { program: PathBuf::from("/nowhere/postroom"), ..compiler(limits) };
    let error = fails(missing, &octets("exit"));
    assert!(matches!(&error, CompileError::NotRun(text) if text.contains("/nowhere/postroom")), "{error}");
}

#[test]
fn what_the_engine_refuses_is_refused_in_the_same_words_as_without_a_child() {
    let invalid = crate::bombs::locals_many();
    let there = sandbox(compiler(CompileLimits::default())).load(&invalid).unwrap_err();
    let here = crate::guests::sandbox().load(&invalid).unwrap_err();
    assert_eq!(there.to_string(), here.to_string());
    assert!(matches!(there, LoadError::Refused(_)), "{there}");
}

#[test]
fn what_is_bundled_is_compiled_without_a_child() {
    let spin = octets("spin");
    let nobody = Compiler {
        program: PathBuf::from("/nowhere/postroom"),
        trusted: BTreeSet::from([Digest::of(&spin)]),
        ..compiler(CompileLimits::default())
    };
    let sandbox = sandbox(nobody);
    sandbox.load(&spin).unwrap_or_else(|error| panic!("{error}"));
    assert!(sandbox.load(&octets("trap")).is_err(), "only what is trusted");
}
