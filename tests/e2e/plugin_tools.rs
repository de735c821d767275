//! The tools of plugin authors, without a compiler: the "build" of these projects copies a component that is there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::reload::Running;
use crate::support::{ARCHIVE, Bench, mail};
use crate::versions::guest;

/// Labels what the subject says is a bill.
const RULES: &str = "[settings]\nrules = [{ when = { subject = \"*bill*\" }, then = [\"label:paper\"] }]\n";

const ACCOUNT: &str =
    "[accounts.home]\nhost = \"pop.example.net\"\nuser = \"me\"\npassword = { file = \"password\" }\n";

/// A project in `plugin/` whose component is the bundled filter.
fn project(bench: &Bench) {
    let manifest = "[build]\ncommand = [\"cp\", \"filter.wasm\", \"built.wasm\"]\ncomponent = \"built.wasm\"\n\
                    [test]\ncommand = [\"true\"]\n";
    bench.write("plugin/plugin.toml", manifest);
    bench.write("plugin/filter.wasm", postroom_bundle::bundled("filter").expect("bundled"));
    bench.write("plugin/fixtures/fixture.toml", RULES);
    bench.write("plugin/fixtures/bill.eml", mail("your bill"));
    bench.write("plugin/fixtures/bill.expected", "label paper\n");
    bench.write("plugin/fixtures/other.eml", mail("hello"));
    bench.write("plugin/fixtures/other.expected", "# nobody has to pay\nnothing\n");
}

#[test]
fn fixtures_that_hold_pass_and_the_first_difference_of_the_others_is_shown() {
    let bench = Bench::new();
    project(&bench);
    bench
        .run(&["plugin", "test", "plugin"])
        .expect(0)
        .says(&["its own tests pass", "2 cases are as expected"]);
    bench.write("plugin/fixtures/fixture.toml", RULES.replace("label:paper", "label:bill"));
    bench.run(&["plugin", "test", "plugin"]).expect(65).says(&[
        "ok      other",
        "FAILED  bill",
        "plugin/fixtures/bill.expected, line 1:\n  - label paper\n  + label bill",
        "1 of 2 cases failed",
    ]);
    let json = bench.run(&["plugin", "test", "plugin", "--json"]);
    let case = json.expect(65).json()["cases"][0].clone();
    assert_eq!(
        (&case["difference"]["expected"], &case["difference"]["found"]),
        (&"label paper".into(), &"label bill".into())
    );
    bench.run(&["plugin", "test", "plugin", "--bless"]).expect(0).says(&["blessed bill"]);
    bench.run(&["plugin", "test", "plugin"]).expect(0);
}

#[test]
fn fixtures_run_with_the_limits_and_grants_they_name_and_no_others() {
    let bench = Bench::new();
    project(&bench);
    bench.write("plugin/filter.wasm", postroom_bundle::bundled("archive").expect("bundled"));
    let with = |grants: &str, limits: &str| {
        format!("[settings]\nsink = \"vault\"\nkey = \"{{uidl}}\"\n[grants]\n{grants}\n[limits]\n{limits}\n")
    };
    let granted = "sinks = { vault = \"object\" }";
    for (grants, limits, expected) in [
        (granted, "", "store vault:bill …\n"),
        ("", "", "failed: …\n"),
        ("sinks = { vault = \"mailbox\" }", "", "failed: …\n"),
        (granted, "effects = 0", "failed: …\n"),
    ] {
        bench.write("plugin/fixtures/fixture.toml", with(grants, limits));
        bench.write("plugin/fixtures/bill.expected", expected);
        bench.write("plugin/fixtures/other.expected", expected.replace("bill", "other"));
        bench.run(&["plugin", "test", "plugin"]).expect(0);
    }
    bench.write("plugin/fixtures/fixture.toml", with(granted, "memory = \"1000 GiB\""));
    bench.run(&["plugin", "test", "plugin"]).expect(65).says(&[
        "limit memory",
        "out of range",
        "fixture.toml",
    ]);
}

#[test]
fn a_project_that_cannot_be_built_says_whose_fault_it_is() {
    let bench = Bench::new();
    bench.run(&["plugin", "build"]).expect(66).says(&["there is no plugin.toml", "postroom plugin new"]);
    project(&bench);
    let build = |command: &str| {
        bench.write(
            "plugin/plugin.toml",
            format!("[build]\ncommand = {command}\ncomponent = \"none.wasm\"\n"),
        );
        bench.run(&["plugin", "build", "plugin"])
    };
    build("[\"false\"]").expect(65).says(&["does not build", "ended with exit status: 1"]);
    build("[\"no-such-compiler\"]").expect(69).says(&["cannot run `no-such-compiler`", "install it"]);
    build("[\"true\"]").expect(65).says(&["left no component at plugin/none.wasm"]);
    build("[]").expect(65).says(&["is empty"]);
    bench.write("plugin/plugin.toml", "[built]\n");
    bench.run(&["plugin", "build", "plugin"]).expect(65).says(&["unknown field `built`", "[build]"]);
    bench.write("plugin/none.wasm", "no component");
    bench.run(&["plugin", "build", "plugin"]).expect(65);
}

#[test]
fn fuel_is_the_same_at_every_run_and_on_every_mail_of_the_same_kind() {
    let bench = Bench::new();
    project(&bench);
    bench
        .run(&["plugin", "build", "plugin"])
        .expect(0)
        .says(&["plugin/built.wasm", "postroom:plugin/mail@0.1.0"]);
    let measure = || {
        let run =
            bench.run(&["plugin", "bench", "plugin", "--mail", "plugin/fixtures", "--count", "3", "--json"]);
        run.expect(0).json()["costs"].clone()
    };
    let (first, second) = (measure(), measure());
    for index in 0..2 {
        assert!(first[index]["fuel"].as_u64().expect("counted") > 1000, "{first:#}");
        assert_eq!(first[index]["fuel"], second[index]["fuel"]);
        assert!(first[index]["cpu_median_ns"].as_u64() <= first[index]["cpu_p99_ns"].as_u64());
        assert!(first[index]["peak_memory"].as_u64().expect("measured") > 0);
        assert!(first[index]["host_calls"].as_u64().expect("counted") > 0);
    }
    assert_eq!(first[0]["decided"], serde_json::json!(["label paper"]));
    let words = ["plugin", "bench", "filter", "--mail", "plugin/fixtures/bill.eml", "--count", "2"];
    bench.run(&words).expect(65).says(&["the settings are wrong", "fixture.toml"]);
    let with = [&words[..], &["--with", "plugin/fixtures/fixture.toml"]].concat();
    bench.run(&with).expect(0).says(&["CPU MEDIAN", "FUEL", "label paper"]);
}

#[test]
fn add_pins_the_file_keeps_comments_and_never_leaves_a_broken_configuration() {
    let bench = Bench::new();
    let text = format!("# mine\n{ACCOUNT}{ARCHIVE}# the end\n");
    bench.config(&text);
    bench.write("own/copy.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    let before = std::fs::read_to_string(bench.path("postroom.toml")).expect("a file");
    let unchanged =
        || assert_eq!(std::fs::read_to_string(bench.path("postroom.toml")).expect("a file"), before);
    let add = |more: &[&str]| bench.run(&[&["plugin", "add", "own/copy.wasm"], more].concat());

    add(&[]).expect(64).says(&["needs settings that were not given: sink", "--grant-sink"]);
    unchanged();
    let wrong = add(&["--grant-sink", "valt"]);
    wrong.expect(78).says(&["nothing was written", "postroom.toml:", "there is no sink `valt`"]);
    assert!(!wrong.stderr.contains(".postroom.toml"), "{}", wrong.stderr);
    unchanged();
    add(&["--grant-sink", "vault", "--set", "colour=3"]).expect(78).says(&["nothing was written", "colour"]);
    unchanged();
    add(&["--grant-sink", "vault", "--dry-run"])
        .expect(0)
        .says(&["+ [[pipelines.main.steps]]", "nothing was written"]);
    unchanged();

    add(&["--grant-sink", "vault", "--step", "papers", "--set", "include=[\"*.pdf\"]"])
        .expect(0)
        .says(&["written, and checked"]);
    let after = std::fs::read_to_string(bench.path("postroom.toml")).expect("a file");
    let digest =
        postroom_mail::Digest::of(postroom_bundle::bundled("attachments").expect("bundled")).to_string();
    for line in [
        "# mine",
        "# the end",
        "plugin = \"./own/copy.wasm\"",
        &format!("sha256 = \"{digest}\""),
        "include = [\"*.pdf\"]",
    ] {
        assert!(after.contains(line), "{line} is not in\n{after}");
    }
    assert_eq!(
        bench.names("").iter().filter(|name| name.contains("postroom.toml")).count(),
        1,
        "no candidate is left"
    );
    bench.run(&["check"]).expect(0).says(&["papers"]);
    bench
        .run(&["plugin", "inspect", "own/copy.wasm"])
        .expect(0)
        .says(&[&format!("sha256 = \"{digest}\""), "step papers (pinned)"]);
    add(&["--step", "papers", "--grant-sink", "vault"])
        .expect(64)
        .says(&["has a step papers already", "--replace"]);

    bench.write("own/copy.wasm", postroom_bundle::bundled("archive").expect("bundled"));
    bench.run(&["check"]).expect(78).says(&["pins"]);
    let replaced = add(&["--step", "papers", "--replace"]);
    // The configuration before it is wrong only because of the pin; what it becomes must be right all the same.
    replaced.expect(78).says(&["nothing was written", "include"]);
    bench.write("own/copy.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    bench.write("own/next.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    bench
        .run(&["plugin", "add", "own/next.wasm", "--step", "papers", "--replace"])
        .expect(0)
        .says(&["- plugin = \"./own/copy.wasm\"", "+ plugin = \"./own/next.wasm\""]);
    bench
        .run(&["plugin", "add", "own/next.wasm", "--step", "none", "--replace"])
        .expect(64)
        .says(&["has no step none"]);
}

#[test]
fn add_through_a_link_names_the_file_as_the_directory_of_the_link_sees_it() {
    let bench = Bench::new();
    bench.write("elsewhere/real.toml", format!("state = \"state\"\n{ACCOUNT}{ARCHIVE}"));
    std::os::unix::fs::symlink("elsewhere/real.toml", bench.path("postroom.toml")).expect("a link");
    bench.write("own/copy.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    bench.write("elsewhere/far.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    let add =
        |file: &str, step: &str| bench.run(&["plugin", "add", file, "--step", step, "--grant-sink", "vault"]);
    add("own/copy.wasm", "near").expect(0).says(&["+ plugin = \"./own/copy.wasm\""]);
    add("elsewhere/far.wasm", "far").expect(0).says(&["+ plugin = \"./elsewhere/far.wasm\""]);
    assert!(std::fs::symlink_metadata(bench.path("postroom.toml")).expect("there").is_symlink());
    bench.run(&["check"]).expect(0).says(&["near", "far"]);
}

/// A configuration whose pipeline is replaced by a fragment.
fn fragmented(bench: &Bench, more: &str) {
    bench.config(&format!("{ACCOUNT}{ARCHIVE}"));
    bench.write("own/copy.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    bench.write("own/next.wasm", postroom_bundle::bundled("attachments").expect("bundled"));
    let step = |name: &str, plugin: &str| {
        format!(
            "[[pipelines.main.steps]]\nname = \"{name}\"\nplugin = \"{plugin}\"\ngrants = {{ sinks = [\"vault\"] }}\n\
             settings = {{ sink = \"vault\" }}\n"
        )
    };
    let steps = format!("{}{}", step("papers", "./own/copy.wasm"), step("archive", "archive"));
    bench.write("conf.d/10-steps.toml", format!("# ours\n{steps}{more}"));
}

#[test]
fn add_changes_the_file_that_decides_over_the_pipeline_and_no_other_step() {
    let bench = Bench::new();
    fragmented(&bench, "");
    let main = std::fs::read_to_string(bench.path("postroom.toml")).expect("a file");
    bench.run(&["plugin", "add", "own/next.wasm", "--step", "papers", "--replace"]).expect(0).says(&[
        "10-steps.toml",
        "- plugin = \"./own/copy.wasm\"",
        "+ plugin = \"./own/next.wasm\"",
    ]);
    bench
        .run(&["plugin", "add", "own/copy.wasm", "--step", "more", "--grant-sink", "vault"])
        .expect(0)
        .says(&["10-steps.toml"]);
    assert_eq!(std::fs::read_to_string(bench.path("postroom.toml")).expect("a file"), main);
    let fragment = std::fs::read_to_string(bench.path("conf.d/10-steps.toml")).expect("a file");
    assert!(fragment.contains("# ours\n") && fragment.contains("plugin = \"archive\"\n"), "{fragment}");
    bench.run(&["check"]).expect(0).says(&["papers", "archive", "more"]);
}

#[test]
fn add_refuses_what_would_have_no_effect() {
    let bench = Bench::new();
    fragmented(&bench, "");
    let steps = "[{name=\"papers\",plugin=\"archive\",grants={sinks=[\"vault\"]},settings={sink=\"vault\"}}]";
    for words in [&["--step", "papers", "--replace"][..], &["--step", "more", "--grant-sink", "vault"]] {
        let mut command = bench.command(&[&["plugin", "add", "own/next.wasm"], words].concat());
        let output = command.env("POSTROOM_PIPELINES__MAIN__STEPS", steps).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("nothing was written") && said.contains("environment variable"), "{said}");
    }
    let fragment = std::fs::read_to_string(bench.path("conf.d/10-steps.toml")).expect("a file");
    assert!(!fragment.contains("next.wasm"), "{fragment}");
}

#[test]
fn promote_refuses_a_candidate_that_cannot_run_and_writes_nothing() {
    let bench = Bench::new();
    let step = ARCHIVE.replace("plugin = \"archive\"", "plugin = \"archive\"\nshadow = \"./own/bad.wasm\"");
    bench.config(&format!("{ACCOUNT}{step}"));
    bench.write("own/bad.wasm", "a slip");
    let before = std::fs::read_to_string(bench.path("postroom.toml")).expect("a file");
    bench
        .run(&["plugin", "promote", "archive", "--force"])
        .expect(78)
        .says(&["nothing was written", "not a WebAssembly component"]);
    assert_eq!(std::fs::read_to_string(bench.path("postroom.toml")).expect("a file"), before);
    bench.write("own/bad.wasm", postroom_bundle::bundled("archive").expect("bundled"));
    bench.run(&["plugin", "promote", "archive", "--force"]).expect(0).says(&["from now on"]);
}

#[test]
fn a_test_sees_that_a_step_failed_although_it_may_be_skipped() {
    let bench = Bench::new();
    std::fs::copy(guest("trap"), bench.path("trap.wasm")).expect("a copy");
    let trap = "[[pipelines.main.steps]]\nname = \"shaky\"\nplugin = \"./trap.wasm\"\non_error = { then = \"skip\" }\n";
    bench.config(&format!("{ACCOUNT}{ARCHIVE}{trap}"));
    bench.write("tests/one.eml", mail("one"));
    bench.run(&["test", "--bless"]).expect(0);
    let expected = std::fs::read_to_string(bench.path("tests/one.expected")).expect("written");
    assert!(expected.starts_with("failed: shaky: ") && expected.contains("\nstore vault:"), "{expected}");
    bench.write(
        "tests/one.expected",
        expected.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>(),
    );
    bench.run(&["test"]).expect(65).says(&["+ failed: shaky: "]);
}

#[test]
fn new_writes_nothing_over_and_takes_only_names_that_every_language_knows() {
    let bench = Bench::new();
    bench.write("taken/file", "mine");
    bench.run(&["plugin", "new", "taken"]).expect(73).says(&["is there already"]);
    assert_eq!(bench.names("taken"), ["file"]);
    for name in ["Upper", "under_score", "9lives", "-x", "a/b", "trailing-"] {
        bench.run(&["plugin", "new", "--", name]).expect(64).says(&["cannot be the name", "pay-slips"]);
    }
    bench.run(&["plugin", "new", "a", "--language", "cobol"]).expect(64).says(&["possible values", "rust"]);
    for language in ["javascript", "python"] {
        let run = bench.run(&["plugin", "new", language, "--language", language, "--json"]);
        let written = run.expect(0).json();
        assert_eq!(written["sdk"], Value::Null);
        assert!(!bench.path(language).join("postroom-sdk").exists(), "{written:#}");
        let words = ["plugin", "new", "a", "--language", language, "--sdk", "."];
        bench.run(&words).expect(64).says(&["no SDK for", "leave --sdk out"]);
    }
    bench.run(&["plugin", "new", "a", "--sdk", "taken"]).expect(66).says(&["no checkout of Postroom"]);
    bench.write("checkout/sdk/Cargo.toml", "");
    let run = bench.run(&["plugin", "new", "a", "--sdk", "checkout", "--json"]);
    assert_eq!(run.expect(0).json()["directory"], "a");
    let manifest = std::fs::read_to_string(bench.path("a/Cargo.toml")).expect("written");
    assert!(manifest.contains("/checkout/sdk\" }") && !bench.path("a/postroom-sdk").exists(), "{manifest}");
}

#[test]
fn mails_beside_the_configuration_are_tested_as_try_would_show_them() {
    let bench = Bench::new();
    bench.config(&format!(
        "{ACCOUNT}{}{ARCHIVE}",
        ACCOUNT.replace("home", "work").replace("\"me\"", "\"you\"")
    ));
    bench.run(&["test"]).expect(66).says(&["tests", "NAME.eml"]);
    bench.write("tests/one.eml", mail("one"));
    bench.write("tests/two.eml", mail("two"));
    bench.write("tests/two.toml", "account = \"work\"\nuidl = \"u2\"\nreceived = 2001-02-03T04:05:06Z\n");
    bench.run(&["test"]).expect(65).says(&[
        "one.expected is not there yet",
        "+ store vault:home/",
        "--bless",
    ]);
    bench.run(&["test", "--bless"]).expect(0).says(&["blessed"]);
    bench.run(&["test", "tests"]).expect(0).says(&["2 cases are as expected"]);
    let expected = std::fs::read_to_string(bench.path("tests/two.expected")).expect("written");
    assert!(expected.starts_with("store vault:work/"), "{expected}");

    let tried = bench.run(&["try", "tests/one.eml", "--json"]).json();
    let effect = &tried["plan"]["effects"][0];
    let found =
        bench.run(&["test", "--json"]).json()["cases"][0]["lines"][0].as_str().expect("a line").to_owned();
    assert!(
        found.contains(effect["action"]["key"].as_str().expect("a key"))
            && found.contains(effect["digest"].as_str().expect("a digest"))
    );

    bench.write("tests/one.expected", "store vault:elsewhere …\n");
    bench.run(&["test"]).expect(65).says(&[
        "FAILED  one",
        "- store vault:elsewhere …",
        "+ store vault:home/",
    ]);
    bench.write("tests/two.toml", "account = \"shop\"");
    bench.run(&["test"]).expect(65).says(&["the account shop, which is not configured", "two.toml"]);
    bench.write("tests/fixture.toml", RULES);
    bench.run(&["test"]).expect(65).says(&["takes them from there"]);
}

/// A `plugin dev` that is told of changes, and what it says line by line.
struct Dev {
    errors: Running,
    lines: Receiver<String>,
}

impl Dev {
    fn start(mut command: Command) -> Self {
        let mut errors = Running::of(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdout = BufReader::new(errors.child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { errors, lines }
    }

    fn change(&mut self) {
        writeln!(self.errors.child.stdin.as_ref().expect("piped")).expect("it listens");
    }

    /// What it says up to a line with these words.
    fn until(&self, words: &str) -> String {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(120)) {
                Ok(line) => said.push_str(&format!("{line}\n")),
                Err(error) => panic!("{words:?} was not said ({error}):\n{said}"),
            }
            if said.lines().next_back().is_some_and(|line| line.contains(words)) {
                return said;
            }
        }
    }
}

#[test]
fn dev_shows_what_a_change_decides_differently_and_goes_on_after_a_mistake() {
    let bench = Bench::new();
    project(&bench);
    let mut dev = Dev::start(bench.command(&["plugin", "dev", "plugin", "--on-enter"]));
    let first = dev.until("2 mails handled");
    assert!(
        first.contains("bill.eml\n    label paper") && first.contains("other.eml\n    nothing"),
        "{first}"
    );

    bench.write("plugin/fixtures/fixture.toml", RULES.replace("label:paper", "label:bill"));
    dev.change();
    let second = dev.until("handled differently");
    assert_eq!(second, "\nbill.eml\n  - label paper\n  + label bill\n\n1 of 2 mails handled differently\n");

    bench.write("plugin/filter.wasm", "a slip");
    dev.change();
    dev.errors.says("not a WebAssembly component");
    bench.write("plugin/filter.wasm", postroom_bundle::bundled("filter").expect("bundled"));
    dev.change();
    // Compared with the last round that worked.
    assert_eq!(dev.until("handled differently"), "\n0 of 2 mails handled differently\n");
    drop(dev.errors.child.stdin.take());
    assert!(dev.errors.child.wait().expect("ends").success());
}

#[test]
fn dev_notices_by_itself_that_a_file_was_changed() {
    let bench = Bench::new();
    project(&bench);
    let dev = Dev::start(bench.command(&["plugin", "dev", "plugin", "--mail", "plugin/fixtures"]));
    dev.until("2 mails handled");
    bench.write("plugin/fixtures/fixture.toml", RULES.replace("label:paper", "label:bill"));
    assert!(dev.until("handled differently").contains("+ label bill"));
}

#[test]
fn dev_once_ends_with_what_became_of_it() {
    let bench = Bench::new();
    project(&bench);
    bench.run(&["plugin", "dev", "plugin", "--once"]).expect(0).says(&["2 mails handled"]);
    let json: Value = bench.run(&["plugin", "dev", "plugin", "--once", "--json"]).json();
    assert_eq!(json["changed"][0]["added"], serde_json::json!(["label paper"]));
    bench.write("plugin/filter.wasm", "a slip");
    bench.run(&["plugin", "dev", "plugin", "--once"]).expect(65).says(&["not a WebAssembly component"]);
}

#[test]
fn dev_once_ends_as_bench_does_when_a_mail_makes_the_plugin_fail() {
    let bench = Bench::new();
    project(&bench);
    bench.write("plugin/filter.wasm", postroom_bundle::bundled("archive").expect("bundled"));
    bench.write("plugin/fixtures/fixture.toml", "[settings]\nsink = \"vault\"\nkey = \"{uidl}\"\n");
    bench.run(&["plugin", "dev", "plugin", "--once"]).expect(65).says(&["failed: ", "2 mails handled"]);
    let words = ["plugin", "bench", "plugin", "--mail", "plugin/fixtures", "--count", "1"];
    bench.run(&["plugin", "build", "plugin"]).expect(0);
    bench.run(&words).expect(65).says(&["failed: "]);
}

#[test]
fn dev_notices_that_its_one_mail_was_replaced_by_an_editor() {
    let bench = Bench::new();
    project(&bench);
    let bill = std::fs::read(bench.path("plugin/fixtures/bill.eml")).expect("a mail");
    bench.write("mails/one.eml", &bill);
    let dev = Dev::start(bench.command(&["plugin", "dev", "plugin", "--mail", "mails/one.eml"]));
    dev.until("1 mail handled");
    for _ in 0..2 {
        // As editors write: beside it, then renamed over it.
        bench.write("mails/.one.swp", mail("nothing to see"));
        std::fs::rename(bench.path("mails/.one.swp"), bench.path("mails/one.eml")).expect("a rename");
        assert!(dev.until("handled differently").contains("- label paper"));
        bench.write("mails/.one.swp", &bill);
        std::fs::rename(bench.path("mails/.one.swp"), bench.path("mails/one.eml")).expect("a rename");
        assert!(dev.until("handled differently").contains("+ label paper"));
    }
}
