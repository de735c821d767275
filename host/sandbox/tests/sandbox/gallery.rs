//! The gallery of hostile components: each row is one, with the stage at which it is contained and what is said of it. After
//! each of them a well-behaved plugin works as before.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use postroom_mail::LogLine;
use postroom_sandbox::{
    Cause, CompileLimits, Component, InvokeError, Limits, LoadError, Outcome, Plugin, Sandbox, SandboxConfig,
    StepConfig,
};

use crate::compiling::compiler;
use crate::guests::{PLAIN, component, message, no_kv, sandbox, step};
use crate::{bombs, wat};

/// Where its octets come from.
#[derive(Clone, Copy)]
enum Origin {
    /// A mode of the guest `hostile`.
    Mode,
    /// A file of `tests/guests/wat`.
    Text,
    /// Made here.
    Bomb(fn() -> Vec<u8>),
}
use Origin::{Bomb, Mode, Text};

/// The stage at which it is contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Load,
    Admit,
    Call,
    /// Not at all: what it asks for is refused, and it is told so.
    Refused,
}
use Stage::{Admit, Call, Load, Refused};

/// Name, origin, stage, and what is said: of the error, or of a line of its log.
type Row = (&'static str, Origin, Stage, &'static str);

const LOOPS: &[Row] = &[
    ("loop-describe", Text, Load, "`describe` failed: used more than 2s of CPU time"),
    ("loop-start", Text, Load, "`describe` failed: used more than 2s of CPU time"),
    ("loop-post-return", Text, Load, "`describe` failed: used more than 2s of CPU time"),
    ("loop-realloc", Text, Admit, "`configure` failed: used more than 400ms of CPU time"),
    ("loop-configure", Text, Admit, "`configure` failed: used more than 400ms of CPU time"),
    ("loop-handle", Text, Call, "used more than 400ms of CPU time"),
    ("configure-loop", Mode, Admit, "`configure` failed: used more than 400ms of CPU time"),
    ("calls", Mode, Call, "used more than 400ms of CPU time"),
    ("messages-digest", Mode, Call, "used more than 400ms of CPU time"),
    ("sleep", Mode, Call, "used more than 400ms of CPU time"),
    ("fill", Text, Call, "used more than 400ms of CPU time"),
];

const STACKS: &[Row] = &[
    ("recursion-describe", Text, Load, "`describe` failed: trapped: wasm trap: call stack exhausted"),
    ("recursion-start", Text, Load, "`describe` failed: trapped: wasm trap: call stack exhausted"),
    ("recursion-post-return", Text, Load, "`describe` failed: trapped: wasm trap: call stack exhausted"),
    ("recursion-realloc", Text, Admit, "`configure` failed: trapped: wasm trap: call stack exhausted"),
    ("recursion-indirect", Text, Call, "trapped: wasm trap: call stack exhausted"),
    ("configure-recursion", Mode, Admit, "`configure` failed: trapped: wasm trap: "),
    ("recursion", Mode, Call, "trapped: wasm trap: "),
    ("large-frames", Mode, Call, "trapped: wasm trap: "),
];

const TRAPS: &[Row] = &[
    (
        "trap-describe",
        Text,
        Load,
        "`describe` failed: trapped: wasm trap: wasm `unreachable` instruction executed",
    ),
    (
        "trap-start",
        Text,
        Load,
        "`describe` failed: trapped: wasm trap: wasm `unreachable` instruction executed",
    ),
    ("trap-post-return", Text, Load, "`describe` failed: trapped: wasm trap: wasm `unreachable`"),
    ("trap-realloc", Text, Admit, "`configure` failed: trapped: wasm trap: wasm `unreachable`"),
    ("trap-divide", Text, Call, "trapped: wasm trap: integer divide by zero"),
    ("trap-signature", Text, Call, "trapped: wasm trap: indirect call type mismatch"),
    ("trap-late-post-return", Text, Call, "trapped: wasm trap: wasm `unreachable` instruction executed"),
    ("outside-memory", Text, Call, "trapped: wasm trap: out of bounds memory access"),
    ("configure-trap", Mode, Admit, "`configure` failed: panicked: "),
    ("configure-exit", Mode, Admit, "`configure` failed: called exit(1)"),
    ("configure-effects", Mode, Admit, "`configure` failed: panicked: "),
    ("configure-problems", Mode, Admit, "the settings are wrong: ppppp: \\u{1b}[31mwrong"),
    ("abort", Mode, Call, "trapped: wasm trap: wasm `unreachable` instruction executed"),
    ("exit-0", Mode, Call, "called exit(0)"),
    ("exit-2", Mode, Call, "called exit(1)"),
    ("trap-late", Mode, Call, "too late: \\u{1b}]0;title\\u{7} all was asked for"),
    ("exit-late", Mode, Call, "called exit(0)"),
    ("fail-late", Mode, Call, "failed: \\u{1b}[2J\\u{0}\\u{202e}x"),
    ("fail-huge", Mode, Call, "too much data"),
    ("retry", Mode, Call, "failed for now: \\r\\n\\r\\nFrom: root"),
];

const MEMORY: &[Row] = &[
    ("memory-describe", Text, Load, "`describe` failed: used more than 256 MiB of memory"),
    ("memory-start", Text, Load, "`describe` failed: used more than 256 MiB of memory"),
    ("memory-minimum", Text, Load, "memory"),
    ("memory-once", Text, Call, "used more than 16 MiB of memory (asked for 4"),
    ("configure-memory", Mode, Admit, "`configure` failed: used more than 16 MiB of memory"),
    ("grow", Mode, Call, "used more than 16 MiB of memory"),
    ("table-grow", Text, Call, "used more than 100000 table elements"),
    ("table-minimum", Text, Load, "table"),
    ("memories-many", Bomb(bombs::memories_many), Load, "memor"),
    ("tables-many", Bomb(bombs::tables_many), Load, "table"),
    ("instances-many", Bomb(bombs::instances_many), Load, "instance"),
    ("memory-64", Bomb(bombs::memory_64), Load, "memory64"),
    ("memory-shared", Bomb(bombs::memory_shared), Load, "threads"),
    ("two-memories", Bomb(bombs::two_memories), Load, "multi"),
];

const CANONICAL: &[Row] = &[
    ("utf8-log", Text, Call, "invalid utf-8"),
    ("utf8-describe", Text, Load, "invalid utf-8"),
    ("utf8-failure", Text, Call, "invalid utf-8"),
    ("pointer-log", Text, Call, "out of bounds"),
    ("pointer-describe", Text, Load, "out of bounds"),
    ("pointer-odd", Text, Load, "align"),
    ("pointer-fault", Text, Call, "out of bounds"),
    ("string-giant", Text, Call, "out of bounds"),
    ("list-giant", Text, Call, "out of bounds"),
    ("list-overlapping", Text, Admit, "out of bounds"),
    ("strings-overlapping", Text, Call, "too much data"),
    ("case-log", Text, Call, "99"),
    ("case-answer", Text, Call, "discriminant"),
    ("reenters", Text, Admit, "cannot leave component instance"),
    ("realloc-outside", Text, Admit, "beyond end of memory"),
    ("realloc-odd", Text, Call, "align"),
    ("handle-dropped", Text, Call, "unknown handle index"),
    ("handle-twice", Text, Call, "unknown handle index"),
    ("handle-foreign", Text, Call, "unknown handle index"),
    ("handle-kind", Text, Call, "handle index 1 used with the wrong type"),
    ("handle-configure", Text, Admit, "unknown handle index"),
    ("handle-kept", Text, Call, "borrow handles still remain at the end of the call"),
    ("handle-zero", Text, Call, "unknown handle index"),
    ("wide-call", Mode, Call, "too much data"),
];

const FLOODS: &[Row] = &[
    ("blobs", Mode, Call, "handles"),
    ("writers", Mode, Call, "handles"),
    ("slices", Mode, Call, "handle limit exceeded"),
    ("parts", Mode, Call, "handles"),
    ("print", Mode, Refused, "log lines were dropped: too many"),
    ("log", Mode, Refused, "log lines were dropped: too many"),
    ("log-lines", Mode, Refused, "log lines were dropped: too many"),
    ("log-fields", Mode, Refused, "fields"),
    ("random", Mode, Call, "random octets"),
    ("random-large", Mode, Call, "random octets"),
    (
        "written",
        Mode,
        Refused,
        "written: quota: octets made by the plugin: asked for 5242880, allowed 4194304",
    ),
    ("doubling", Mode, Refused, "doubled: quota: "),
    ("effects", Mode, Refused, "flood: quota: effects: asked for 257, allowed 256"),
    ("labels", Mode, Refused, "flood: quota: labels: asked for 33, allowed 32"),
    ("kv", Mode, Refused, "flood: quota: calls of kv: asked for 65, allowed 64"),
    ("kv-keys", Mode, Refused, "long: quota: octets of a kv key: asked for 1048576, allowed 256"),
    ("configure-log", Mode, Refused, "log lines were dropped: too many"),
];

const ASKING: &[Row] = &[
    ("label-names", Mode, Refused, "control: invalid: "),
    ("keys", Mode, Refused, "parent: invalid: "),
    ("mailboxes", Mode, Refused, "parent: invalid: "),
    ("recipients", Mode, Refused, "many: quota: recipients: asked for 10000, allowed 10"),
    ("headers", Mode, Refused, "value-crlf: invalid: "),
    ("options", Mode, Refused, "many: quota: options: asked for 1000, allowed 32"),
    ("options-huge", Mode, Call, "used more than 16 MiB of memory"),
    ("verdicts", Mode, Refused, "again: None"),
    ("sinks", Mode, Refused, "store \"theirs\": denied: "),
    ("state", Mode, Refused, "\"secret\": Ok(None)"),
    ("ambience", Mode, Refused, "variables: 0"),
    ("edges", Mode, Refused, "slice-wrap: invalid: "),
    ("names", Mode, Refused, "body: "),
    ("control", Mode, Refused, "\\u{1b}[2J"),
];

const LOADING: &[Row] = &[
    ("empty", Bomb(bombs::empty), Load, "not a WebAssembly component"),
    ("garbage", Bomb(bombs::garbage), Load, "not a WebAssembly component"),
    ("elf", Bomb(bombs::elf), Load, "not a WebAssembly component"),
    ("truncated", Bomb(bombs::truncated), Load, "not a WebAssembly component"),
    ("core-module", Bomb(bombs::core_module), Load, "it is a core module; build for wasm32-wasip2"),
    ("precompiled", Bomb(bombs::precompiled), Load, "precompiled code, which is never accepted"),
    ("too-large", Bomb(bombs::too_large), Load, "a component may have 67108864"),
    ("shell", Bomb(bombs::shell), Load, "describe"),
    ("wants-files", Bomb(bombs::wants_files), Load, "no plugin is given: wasi:filesystem/types@0.2.6"),
    ("wants-sockets", Bomb(bombs::wants_sockets), Load, "no plugin is given: wasi:sockets/tcp@0.2.6"),
    ("wants-http", Bomb(bombs::wants_http), Load, "no plugin is given: wasi:http/outgoing-handler@0.2.6"),
    (
        "wants-another-version",
        Bomb(bombs::wants_another_version),
        Load,
        "no plugin is given: postroom:plugin/effects@0.2.0",
    ),
    (
        "wants-another-package",
        Bomb(bombs::wants_another_package),
        Load,
        "no plugin is given: postroom:plugins/effects@0.1.0",
    ),
    ("wants-another-type", Bomb(bombs::wants_another_type), Load, "postroom:plugin/effects@0.1.0"),
    ("wants-more-functions", Bomb(bombs::wants_more_functions), Load, "postroom:plugin/effects@0.1.0"),
    ("description-large", Text, Load, "300000 octets are too many"),
    ("description-no-json", Text, Load, "`describe` answered no JSON object with a name"),
    ("description-deep", Text, Load, "recursion limit exceeded"),
    ("description-name", Text, Load, "`describe` answered no JSON object with a name"),
    ("description-nameless", Text, Load, "`describe` answered no JSON object with a name"),
];

const BOMBS: &[Row] = &[
    ("imports", Bomb(bombs::imports), Load, "more than 1000"),
    ("exports", Bomb(bombs::exports), Load, "more than 1000"),
    ("types-exponential", Bomb(bombs::types_exponential), Load, "size"),
    ("types-many", Bomb(bombs::types_many), Load, "types count"),
    ("nested-deep", Bomb(bombs::nested_deep), Load, "more than 32 deep"),
    ("nested-many", Bomb(bombs::nested_many), Load, "components count"),
    ("modules-many", Bomb(bombs::modules_many), Load, "modules count"),
    ("instances-exponential", Bomb(bombs::instances_exponential), Load, "compiling the component "),
    ("functions-many", Bomb(bombs::functions_many), Load, "functions count"),
    ("data-huge", Bomb(bombs::data_huge), Load, "memory"),
    ("busy", Bomb(bombs::busy), Load, "compiling the component took "),
    (
        "giant-function",
        Bomb(bombs::giant_function),
        Load,
        "compiling the component needed more than 256 MiB of memory",
    ),
    ("locals-many", Bomb(bombs::locals_many), Load, "locals"),
    ("parameters-many", Bomb(bombs::parameters_many), Load, "params"),
    ("branches-giant", Bomb(bombs::branches_giant), Load, "br_table"),
    ("names-giant", Bomb(bombs::names_giant), Load, "string size"),
];

const ROOMS: [&[Row]; 8] = [LOOPS, STACKS, TRAPS, MEMORY, CANONICAL, FLOODS, ASKING, LOADING];

/// Limits small enough for many guests in a short time.
fn limits() -> Limits {
    Limits { cpu: Duration::from_millis(400), memory: 16 << 20, ..Limits::default() }
}

/// How a guest ended.
enum End {
    Load(LoadError),
    Admit(LoadError),
    Call(InvokeError),
    Done(Outcome, Vec<String>),
}

fn config(mode: &str) -> StepConfig {
    StepConfig { limits: limits(), ..step(mode) }
}

/// Compiled once for all its modes.
static HOSTILE: LazyLock<Component> = LazyLock::new(|| component("hostile"));
static ECHO: LazyLock<Plugin> = LazyLock::new(|| component("echo").admit(step("blobs")).expect("admitted"));

fn load(sandbox: &Sandbox, (name, from, ..): &Row) -> Result<Component, LoadError> {
    match from {
        Mode => Ok(HOSTILE.clone()),
        Text => sandbox.load(&wat::guest(name)),
        Bomb(made) => sandbox.load(&made()),
    }
}

fn end(sandbox: &Sandbox, row: &Row) -> End {
    let component = match load(sandbox, row) {
        Ok(component) => component,
        Err(error) => return End::Load(error),
    };
    let plugin = match component.admit(config(row.0)) {
        Ok(plugin) => plugin,
        Err(error) => return End::Admit(error),
    };
    match plugin.handle(&message(PLAIN, None), &[], &no_kv()) {
        Ok(outcome) => End::Done(outcome, plugin.warnings().to_vec()),
        Err(error) => End::Call(error),
    }
}

impl End {
    fn stage(&self) -> Stage {
        match self {
            Self::Load(_) => Load,
            Self::Admit(_) => Admit,
            Self::Call(_) => Call,
            Self::Done(..) => Refused,
        }
    }

    /// Everything that is told of it, to the operator.
    fn told(&self) -> Vec<String> {
        let line = |line: &LogLine| {
            let fields = line.fields.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}{}", line.message, fields.collect::<String>())
        };
        match self {
            Self::Load(error) | Self::Admit(error) => vec![error.to_string()],
            Self::Call(error) => [vec![error.to_string()], error.log.iter().map(line).collect()].concat(),
            Self::Done(outcome, warnings) => outcome.log.iter().map(line).chain(warnings.clone()).collect(),
        }
    }
}

/// A well-behaved plugin works as before.
fn well() {
    let outcome = ECHO.handle(&message(PLAIN, None), &[], &no_kv()).expect("a well-behaved guest works");
    assert!(!outcome.log.is_empty());
}

/// Runs every guest of a room; tells all that are not contained as they should be, not just the first.
fn visit(room: &[Row]) {
    visit_in(sandbox(), room);
}

fn visit_in(sandbox: &Sandbox, room: &[Row]) {
    let mut wrong = Vec::new();
    for row @ (name, _, stage, says) in room {
        let started = Instant::now();
        let end = end(sandbox, row);
        let took = started.elapsed();
        let told = end.told();
        let shown: String = told.first().map(|line| line.chars().take(160).collect()).unwrap_or_default();
        println!("{name}: {:?} after {took:.1?}: {shown}", end.stage());
        if end.stage() != *stage {
            wrong.push(format!("{name}: contained at {:?}, not at {stage:?}: {shown}", end.stage()));
        }
        if !told.iter().any(|line| line.contains(says)) {
            wrong.push(format!("{name}: nothing says {says:?}: {told:.300?}"));
        }
        if let Some(line) = told.iter().find(|line| line.chars().any(unsafe_to_show)) {
            wrong.push(format!("{name}: unsafe to show: {line:?}"));
        }
        if told.iter().any(|line| line.len() > 128 << 10) {
            wrong.push(format!("{name}: told at too great a length"));
        }
        if took > Duration::from_secs(60) {
            wrong.push(format!("{name}: took {took:?}"));
        }
        if matches!(&end, End::Call(error) if matches!(error.cause, Cause::Host(_) | Cause::Busy(_))) {
            wrong.push(format!("{name}: the host is blamed"));
        }
        well();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Control characters, and those that turn the direction of what follows.
fn unsafe_to_show(c: char) -> bool {
    c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[test]
fn loops_are_ended_wherever_they_are() {
    visit(LOOPS);
}

#[test]
fn recursion_ends_with_the_stack_wherever_it_is() {
    visit(STACKS);
}

#[test]
fn traps_exits_and_failures_cost_their_own_call_only() {
    visit(TRAPS);
}

#[test]
fn memory_tables_and_instances_end_at_their_limits() {
    visit(MEMORY);
}

#[test]
fn what_breaks_the_canonical_abi_is_a_trap_of_the_plugin() {
    visit(CANONICAL);
}

#[test]
fn floods_end_the_call_or_are_refused_bit_by_bit() {
    visit(FLOODS);
}

#[test]
fn what_may_not_be_had_is_refused_with_an_answer() {
    visit(ASKING);
}

#[test]
fn what_is_no_plugin_is_refused_before_it_is_compiled() {
    visit(LOADING);
}

#[test]
fn bombs_do_not_go_off() {
    // As the host does it: what is no plugin of ours is compiled by a child.
    let limits = CompileLimits { cpu: Duration::from_secs(2), memory: 256 << 20 };
    let config = SandboxConfig { cache_dir: None, concurrency: 1, fuel: false };
    visit_in(&Sandbox::with_compiler(&config, compiler(limits)).expect("a sandbox"), BOMBS);
}

/// A sandbox is told of no sink but those granted: another step's sink, and one that nobody has, are answered alike.
#[test]
fn a_sink_of_somebody_else_is_answered_like_one_that_is_not_there() {
    let plugin = HOSTILE.admit(config("sinks")).expect("admitted");
    let outcome = plugin.handle(&message(PLAIN, None), &[], &no_kv()).expect("answers, not traps");
    let answers = |sink: &str| -> Vec<String> {
        let about = outcome.log.iter().filter(|line| line.message.contains(&format!(" {sink:?}: ")));
        about.map(|line| line.message.replace(sink, "SINK")).collect()
    };
    let (theirs, nobodys) = (answers("theirs"), answers("nobodys"));
    assert_eq!(theirs.len(), 4);
    assert!(theirs.iter().all(|answer| answer.contains("denied: grants = { sinks = [")), "{theirs:?}");
    // The line that would grant it lists sinks in order, so only the place of the name differs.
    let sorted = |answers: Vec<String>| -> Vec<Vec<char>> {
        let letters = answers.into_iter().map(|answer| answer.chars().collect::<Vec<_>>());
        letters
            .map(|mut letters| {
                letters.sort_unstable();
                letters
            })
            .collect()
    };
    assert_eq!(sorted(theirs), sorted(nobodys));
    assert!(outcome.effects.is_empty());
}

/// The list, and that it is one: every guest has a name of its own, every text guest is in it.
#[test]
fn the_gallery_is_complete() {
    let rows: Vec<&Row> = ROOMS.iter().copied().chain([BOMBS]).flatten().collect();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.0).collect();
    assert_eq!(names.len(), rows.len(), "each has a name of its own");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/wat");
    for entry in std::fs::read_dir(directory).expect("the texts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            assert!(names.contains(name.as_str()), "{name} is in no room");
        }
    }
    let list: Vec<_> = names.into_iter().collect();
    println!("{} hostile components: {}", list.len(), list.join(", "));
    assert!(list.len() >= 40, "{}", list.len());
}
