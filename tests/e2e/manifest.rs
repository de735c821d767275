//! The manifest of an archive: what `verify` says after runs that ended well or badly, and after the archive was changed.

use std::fs;
use std::path::PathBuf;

use postroom_practice::Maildrop;
use postroom_tests::{S3Server, s3};
use serde_json::Value;

use crate::support::{Bench, Run, account, authority, mail, maildrop};

const VAULT: &str = r#"
[sinks.vault]
type = "directory"
path = "vault"
manifest = true
[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault", key = "{account}/{sha256}.eml", compress = "zstd" }
"#;

fn mails() -> Vec<Vec<u8>> {
    let mut odd = mail("four");
    // Bare line ends, octets that are no text. The last line has an end: without one a server adds it.
    odd.extend_from_slice(b"bare\nline\rends \xff\x00\xfe and an end\r\n");
    vec![mail("one"), mail("two"), mail("three"), odd]
}

/// A host that has four mails to archive.
async fn world(vault: &str) -> (Bench, Maildrop) {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, mails()).await;
    bench.config(&format!("{}{vault}", account("home", server.addr().port(), "")));
    (bench, server)
}

async fn once(bench: &Bench, failpoints: &str) -> Run {
    let mut command = bench.command(&["once", "--json"]);
    command.env("POSTROOM_FAILPOINTS", failpoints);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joins");
    let output = output.expect("the binary runs");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn verified(bench: &Bench, code: i32) -> Value {
    let run = bench.postroom(&["verify", "--json"]).await;
    run.expect(code);
    let document = run.json();
    assert_eq!(document["sound"], code == 0, "{document:#}");
    document["sinks"][0].clone()
}

/// The names of all damage.
fn kinds(report: &Value) -> Vec<&str> {
    let damage = report["damage"].as_array().expect("damage");
    damage.iter().map(|damage| damage["kind"].as_str().expect("a kind")).collect()
}

/// The one file of lines.
fn lines(bench: &Bench, directory: &str) -> PathBuf {
    let names = bench.names(directory);
    let [name] = &names.iter().filter(|name| name.ends_with(".jsonl")).collect::<Vec<_>>()[..] else {
        panic!("{names:?}")
    };
    bench.path(directory).join(name)
}

const MANIFEST: &str = "vault/.postroom/manifest";

#[tokio::test(flavor = "multi_thread")]
async fn verify_proves_an_archive_and_names_what_was_done_to_it() {
    let (bench, _server) = world(VAULT).await;
    bench.once().await.0.expect(0);
    let report = verified(&bench, 0).await;
    assert_eq!((&report["lines"], &report["objects"]), (&4.into(), &4.into()), "{report:#}");
    assert_eq!(report["unsigned"], 0, "a run that ends signs: {report:#}");
    bench.postroom(&["verify"]).await.expect(0).says(&["sink vault: 4 lines in 1 day", "sound"]);
    let key = bench.postroom(&["archive", "key"]).await;
    assert!(key.expect(0).stdout.starts_with("RW"), "{key:?}");

    let object = bench.names("vault").into_iter().find(|name| name.ends_with(".zst")).expect("an object");
    let object = bench.path("vault").join(object);
    let whole = fs::read(&object).expect("an object");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    fs::write(&object, &flipped).expect("a file");
    let report = verified(&bench, 65).await;
    assert_eq!(kinds(&report), ["object-changed"], "{report:#}");
    assert!(report["damage"][0]["expected"] != report["damage"][0]["actual"]);
    fs::remove_file(&object).expect("removed");
    assert_eq!(kinds(&verified(&bench, 65).await), ["object-missing"]);
    fs::write(&object, &whole).expect("a file");
    verified(&bench, 0).await;

    let path = lines(&bench, MANIFEST);
    let text = fs::read_to_string(&path).expect("lines");
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    for (kept, kind) in [
        (vec![0, 2, 3], "line-removed"),
        (vec![0, 1, 2], "line-removed"),
        (vec![0, 2, 1, 3], "line-reordered"),
        (vec![0, 1, 1, 2, 3], "line-doubled"),
    ] {
        fs::write(&path, kept.iter().map(|at| all[*at]).collect::<String>()).expect("a file");
        let report = verified(&bench, 65).await;
        assert_eq!(kinds(&report), [kind], "{report:#}");
    }
    fs::write(&path, text.replacen("home", "away", 1)).expect("a file");
    bench.postroom(&["verify"]).await.expect(65).says(&["DAMAGE line-edited", "line 1 of"]);
    fs::remove_file(&path).expect("removed");
    assert_eq!(kinds(&verified(&bench, 65).await)[0], "day-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_process_dies_the_manifest_has_each_object_once_after_the_next_run() {
    for point in [
        "manifest/receipts",
        "manifest.make/made",
        "manifest.append/half",
        "manifest.sync/after",
        "manifest/noted",
        "manifest.head/written",
        "manifest.head/renamed",
    ] {
        let (bench, _server) = world(VAULT).await;
        let killed = once(&bench, &format!("kill={point}#1")).await;
        assert_eq!(killed.code, None, "{point} was not reached: {killed:?}");
        once(&bench, "").await.expect(0);
        let report = verified(&bench, 0).await;
        assert_eq!((&report["lines"], &report["unsigned"]), (&4.into(), &0.into()), "{point}: {report:#}");
        let text = fs::read_to_string(lines(&bench, MANIFEST)).expect("lines");
        let keys: std::collections::BTreeSet<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].to_string())
            .collect();
        assert_eq!(keys.len(), 4, "{point}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_only_the_manifest_and_lines_are_written_when_there_is_room() {
    let (bench, _server) = world(VAULT).await;
    once(&bench, "fail=manifest.append/before#1+:28").await.expect(0);
    let delivered = bench.names("vault").iter().filter(|name| name.ends_with(".zst")).count();
    assert_eq!(delivered, 4, "mail goes on");
    bench.postroom(&["status"]).await.expect(0).says(&["manifest", "No space left"]);
    once(&bench, "").await.expect(0);
    assert_eq!(verified(&bench, 0).await["lines"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_there_was_a_manifest_gets_its_lines_too() {
    let (bench, server) = world(&VAULT.replace("manifest = true\n", "")).await;
    bench.once().await.0.expect(0);
    bench.postroom(&["verify"]).await.expect(64).says(&["no sink has a manifest"]);
    bench.config(&format!("{}{VAULT}", account("home", server.addr().port(), "")));
    bench.once().await.0.expect(0);
    assert_eq!(verified(&bench, 0).await["objects"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_is_verified_too() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, mails()).await;
    let objects = tempfile::tempdir().expect("a directory");
    let store = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("access", s3::ACCESS_KEY);
    bench.secret("secret", s3::SECRET_KEY);
    let vault = VAULT.replace(
        "type = \"directory\"\npath = \"vault\"",
        &format!(
            "type = \"s3\"\nbucket = \"{}\"\nprefix = \"mail\"\nendpoint = \"{}\"\nallow_http = true\n\
         access_key = {{ file = \"access\" }}\nsecret_key = {{ file = \"secret\" }}",
            s3::BUCKET,
            store.endpoint()
        ),
    );
    bench.config(&format!("{}{vault}", account("home", server.addr().port(), "")));
    bench.once().await.0.expect(0);
    assert_eq!(verified(&bench, 0).await["objects"], 4);
    assert!(lines(&bench, "state/manifest/vault").exists());
    let keys = store.keys().expect("keys");
    let key = keys.iter().find(|key| key.ends_with(".zst")).expect("an object");
    let path = objects.path().join(s3::BUCKET).join(key);
    let mut octets = fs::read(&path).expect("an object");
    octets[20] ^= 1;
    fs::write(&path, octets).expect("a file");
    assert_eq!(kinds(&verified(&bench, 65).await), ["object-changed"]);
    fs::remove_file(&path).expect("removed");
    assert_eq!(kinds(&verified(&bench, 65).await), ["object-missing"]);
    fs::write(objects.path().join(s3::BUCKET).join("mail/stray"), b"x").expect("a file");
    let report = verified(&bench, 65).await;
    assert_eq!(report["warnings"][0]["kind"], "object-unlisted", "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_was_retrieved_octet_for_octet_and_nothing_is_overwritten() {
    let (bench, _server) = world(VAULT).await;
    bench.once().await.0.expect(0);
    verified(&bench, 0).await;
    bench.postroom(&["backup", "copy"]).await.expect(0);
    let key = |state: &str| fs::read(bench.path(state).join("manifest.key")).expect("a key");
    assert_eq!(key("copy"), key("state"), "a state that was put back signs with the same key");
    let export = |more: &'static [&'static str]| {
        let args: Vec<&str> = [&["export", "vault", "--json"], more].concat();
        let mut command = bench.command(&args);
        async move {
            let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joins");
            let output = output.expect("the binary runs");
            let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            (output.status.code(), document)
        }
    };
    let wanted: std::collections::BTreeMap<_, _> =
        mails().iter().map(|mail| (postroom_mail::Digest::of(mail), 1)).collect();
    for (args, place) in [(&["out"][..], "out"), (&["maildir", "--format", "maildir"][..], "maildir/new")] {
        let (code, document) = export(args).await;
        assert_eq!((code, &document["exported"]), (Some(0), &4.into()), "{document:#}");
        assert_eq!(bench.digests(place), wanted, "whoever signed them can still prove it");
        let (code, document) = export(args).await;
        assert_eq!((code, &document["already"]), (Some(0), &4.into()), "{document:#}");
    }
    let name = bench.names("out").remove(0);
    fs::write(bench.path("out").join(&name), b"mine").expect("a file");
    let (code, document) = export(&["out"]).await;
    assert_eq!((code, document["failed"].as_array().map(Vec::len)), (Some(65), Some(1)), "{document:#}");
    assert_eq!(fs::read(bench.path("out").join(&name)).expect("a file"), b"mine");
    let (code, _) = export(&["all.mbox", "--format", "mbox"]).await;
    assert_eq!(code, Some(0));
    bench.postroom(&["export", "vault", "all.mbox", "--format", "mbox"]).await.expect(73);
}
