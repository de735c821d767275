//! Plugins that loop, grow, or trap: the message goes to quarantine with the reason, the next messages go through.

use std::path::{Path, PathBuf};

use postroom_practice::{Receiver, ReceiverConfig, Security};

#[path = "../guests/busy.rs"]
#[allow(dead_code, reason = "the sandbox's tests use more of it")]
mod busy;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

/// A guest that does what the `X-Mood` field of the message says.
pub(crate) fn moody() -> PathBuf {
    postroom_tests::guest("moody", Path::new(env!("CARGO_TARGET_TMPDIR")))
}

pub(crate) fn in_a_mood(mood: &str) -> Vec<u8> {
    [format!("X-Mood: {mood}\r\n").into_bytes(), mail(mood)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_loops_grows_or_traps_costs_that_message_and_no_other() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let moods = ["calm", "spin", "calm again", "hoard", "trap", "exit", "calm still"];
    let server = maildrop(&identity, moods.iter().map(|mood| in_a_mood(mood)).collect()).await;
    std::fs::copy(moody(), bench.path("moody.wasm")).expect("a copy");
    let step = "[[pipelines.main.steps]]\nname = \"moody\"\nplugin = \"./moody.wasm\"\nlimits = { cpu = \"300ms\", wall = \"5s\", memory = \"16 MiB\" }\n";
    bench.config(&format!("{}{step}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 3, "{summary:#}");
    assert_eq!(summary["counts"]["quarantined"], 4, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 3);
    bench.postroom(&["queue", "ls"]).await.expect(0).says(&["300ms", "16 MiB", "a bad day", "exit"]);
    // The quarantined ones are still here, whole, and still on the server.
    let (_, summary) = bench.once().await;
    assert_eq!(summary["accounts"]["home"]["listed"], 7);
    assert_eq!(summary["counts"]["quarantined"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_may_be_skipped_when_it_fails() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![in_a_mood("trap")]).await;
    std::fs::copy(moody(), bench.path("moody.wasm")).expect("a copy");
    let step = "[[pipelines.main.steps]]\nname = \"moody\"\nplugin = \"./moody.wasm\"\non_error = { then = \"skip\" }\n";
    bench.config(&format!("{}{step}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 1, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_not_granted_is_refused_with_the_line_that_would_grant_it() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!(
        "{}{}",
        account("home", server.addr().port(), ""),
        ARCHIVE.replace("grants = { sinks = [\"vault\"] }\n", "")
    ));
    let (_, summary) = bench.once().await;
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    bench.postroom(&["queue", "ls"]).await.says(&["grants = { sinks = [\"vault\"] }"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_only_to_the_recipients_that_the_sink_allows() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let config = ReceiverConfig::new(Security::Implicit(identity.clone()));
    let receiver = Receiver::start(config).await.expect("a receiver");
    let relay = format!(
        "[sinks.relay]\ntype = \"smtp\"\nhost = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\nrecipients = [\"*@home.example\"]\n",
        receiver.addr().port()
    );
    let step = |name: &str, to: &str| {
        format!(
            "[[pipelines.main.steps]]\nname = \"{name}\"\nplugin = \"forward\"\ngrants = {{ sinks = [\"relay\"] }}\n\
             settings = {{ sink = \"relay\", to = [\"{to}\"] }}\n"
        )
    };
    let steps = format!("{}{}", step("inside", "me@home.example"), step("outside", "me@elsewhere.example"));
    bench.config(&format!("{}{relay}{steps}", account("home", server.addr().port(), "")));
    let (_, summary) = bench.once().await;
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    let accepted = receiver.accepted();
    assert_eq!(accepted.len(), 1);
    assert!(accepted[0].recipients[0].contains("me@home.example"), "{accepted:?}");
    bench.postroom(&["queue", "ls"]).await.says(&["not among the `recipients`"]);
}

#[test]
fn a_strangers_plugin_gets_no_smtp_sink_that_sends_to_anybody() {
    let bench = Bench::new();
    let relay = |more: &str| {
        format!(
            "{}[sinks.relay]\ntype = \"smtp\"\nhost = \"smtp.example.net\"\n{more}[[pipelines.main.steps]]\n\
             plugin = \"./moody.wasm\"\ngrants = {{ sinks = [\"relay\"] }}\n",
            account("home", 995, "").replace("ca_file = \"ca.pem\"\n", "")
        )
    };
    std::fs::copy(moody(), bench.path("moody.wasm")).expect("a copy");
    bench.config(&relay(""));
    bench.run(&["check"]).expect(78).says(&["could send mail to anybody", "recipients = ["]);
    bench.config(&relay("recipients = [\"me@example.net\"]\n"));
    bench.run(&["check"]).expect(0);
}

#[test]
fn a_plugin_that_keeps_the_compiler_busy_is_given_up_with_the_limit_to_raise() {
    let bench = Bench::new();
    std::fs::write(bench.path("busy.wasm"), busy::component(4000, 1000)).expect("written");
    let step = "[[pipelines.main.steps]]\nname = \"busy\"\nplugin = \"./busy.wasm\"\n";
    let limits = |limits: &str| {
        let account = account("home", 995, "").replace("ca_file = \"ca.pem\"\n", "");
        format!("{account}[limits]\n{limits}\n{step}")
    };
    bench.config(&limits("compile_cpu = \"1s\""));
    bench.run(&["check"]).expect(78).says(&["busy", "took more than 1 s of CPU time", "limits.compile_cpu"]);
    std::fs::write(bench.path("busy.wasm"), busy::component(1, 1_000_000)).expect("written");
    bench.config(&limits("compile_memory = \"128 MiB\""));
    bench.run(&["check"]).expect(78).says(&["needed more than 128 MiB of memory", "limits.compile_memory"]);
    bench.config(&limits("compile_cpu = \"5m\""));
    bench.run(&["check"]).expect(78).says(&["`limits.compile_cpu` must be from 1 to 120 seconds"]);
}

#[test]
fn a_strangers_plugin_is_compiled_by_a_child_and_shown_as_any_other() {
    let bench = Bench::new();
    std::fs::copy(moody(), bench.path("moody.wasm")).expect("a copy");
    let path = bench.path("moody.wasm");
    let inspect = bench.run(&["plugin", "inspect", path.to_str().expect("a path")]);
    inspect.expect(0).says(&["moody", "Does what X-Mood says."]);
}
