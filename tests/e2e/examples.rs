//! Every configuration in `examples/config` is loaded as it is, then run against practice servers in place of the ones it names.

use std::path::Path;

use postroom_practice::{Maildrop, MaildropConfig, Receiver, ReceiverConfig, Security};
use postroom_tests::{S3Server, s3};
use toml::{Table, Value};

use crate::support::{Bench, PASSWORD, authority, mail};

fn example(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config").join(name);
    std::fs::read_to_string(path).expect("the example").parse().expect("TOML")
}

fn section<'a>(table: &'a mut Table, name: &str) -> impl Iterator<Item = &'a mut Table> {
    table
        .get_mut(name)
        .and_then(Value::as_table_mut)
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_table_mut())
}

fn set(table: &mut Table, values: &[(&str, Value)]) {
    for (name, value) in values {
        table.insert((*name).to_owned(), value.clone());
    }
}

fn secret(name: &str) -> Value {
    Value::Table(Table::from_iter([("file".to_owned(), Value::from(name))]))
}

/// Runs an example with its servers and directories replaced, and everything else as written.
async fn run(name: &str) -> (Bench, Vec<String>, usize) {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let invoice =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mail/02-invoice.eml"))
            .expect("a sample");
    let invoice = String::from_utf8(invoice).expect("text").replace('\n', "\r\n").into_bytes();
    let mut config = example(name);
    // Each account has its own maildrop there, named like the account.
    let names: Vec<String> = config["accounts"].as_table().expect("accounts").keys().cloned().collect();
    let messages = vec![mail("one"), mail("two"), invoice];
    let maildrops = MaildropConfig::new(Security::Implicit(identity.clone()));
    let maildrops = names.iter().fold(maildrops, |all, name| all.account(name, PASSWORD, messages.clone()));
    let server = Maildrop::start(maildrops).await.expect("a maildrop");
    let receiver = Receiver::start(
        ReceiverConfig::new(Security::Implicit(identity.clone())).credentials("user", PASSWORD),
    )
    .await
    .expect("a receiver");
    let objects = tempfile::tempdir().expect("a directory");
    let store = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("s3-access", s3::ACCESS_KEY);
    bench.secret("s3-secret", s3::SECRET_KEY);
    set(&mut config, &[("state", Value::from("state"))]);
    for (account, user) in section(&mut config, "accounts").zip(names) {
        let port = Value::from(i64::from(server.addr().port()));
        set(
            account,
            &[
                ("host", "localhost".into()),
                ("port", port),
                ("user", user.into()),
                ("ca_file", "ca.pem".into()),
                ("tls", "implicit".into()),
                ("password", secret("password")),
            ],
        );
    }
    for sink in section(&mut config, "sinks") {
        match sink.get("type").and_then(Value::as_str) {
            Some("s3") => set(
                sink,
                &[
                    ("endpoint", store.endpoint().into()),
                    ("bucket", s3::BUCKET.into()),
                    ("allow_http", true.into()),
                    ("access_key", secret("s3-access")),
                    ("secret_key", secret("s3-secret")),
                ],
            ),
            Some("smtp") => {
                let port = Value::from(i64::from(receiver.addr().port()));
                set(
                    sink,
                    &[
                        ("host", "localhost".into()),
                        ("port", port),
                        ("tls", "implicit".into()),
                        ("ca_file", "ca.pem".into()),
                    ],
                );
                if sink.contains_key("user") {
                    set(sink, &[("user", "user".into()), ("password", secret("password"))]);
                }
            }
            Some("directory" | "maildir") => {
                let below = sink
                    .get("path")
                    .and_then(Value::as_str)
                    .expect("a path")
                    .trim_start_matches('/')
                    .to_owned();
                set(sink, &[("path", format!("out/{below}").into())]);
            }
            other => panic!("a sink of type {other:?}"),
        }
    }
    // A sink makes its own directory, never the way to it: a disk that is not mounted must not be written beside.
    std::fs::create_dir(bench.path("out")).expect("a directory");
    bench.config(&toml::to_string(&config).expect("TOML"));
    bench.postroom(&["check", "--online"]).await.expect(0);
    bench.postroom(&["once"]).await.expect(0);
    let written = bench.names("out").into_iter().chain(store.keys().expect("keys")).collect();
    (bench, written, receiver.accepted().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_example_archives_mail_and_extracts_documents() {
    let (_bench, written, _) = run("disk.toml").await;
    assert!(written.len() >= 4, "{written:?}");
    assert!(written.iter().any(|name| name.ends_with(".pdf")), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_example_stores_objects() {
    let (_bench, written, _) = run("s3.toml").await;
    assert!(written.len() >= 3, "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forward_example_forwards() {
    let (_bench, _, forwarded) = run("forward.toml").await;
    assert!(forwarded >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_many_accounts_example_serves_each_account() {
    let (bench, _, _) = run("many-accounts.toml").await;
    let (_, summary) = bench.once().await;
    assert!(summary["accounts"].as_object().expect("accounts").len() >= 2, "{summary:#}");
}

/// Its accounts log in at providers and show every key there is: it is checked as it is, not run.
#[tokio::test(flavor = "multi_thread")]
async fn the_any_server_example_is_right_as_it_is() {
    let bench = Bench::new();
    bench.config(&toml::to_string(&example("any-server.toml")).expect("TOML"));
    bench.postroom(&["check", "--deny-warnings"]).await.expect(0).says(&["4 accounts", "all is well"]);
}

#[test]
fn every_example_is_covered_here() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("examples")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["any-server.toml", "disk.toml", "forward.toml", "many-accounts.toml", "s3.toml"]);
}
