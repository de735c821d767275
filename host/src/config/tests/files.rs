//! Contents of files in settings.

use super::*;

fn with_files(files: &str) -> Files {
    Files::new(&before_grants(&format!("files = {files}")))
}

fn settings_of(files: &Files) -> serde_json::Value {
    let config = files.load(&[]).unwrap_or_else(|errors| panic!("{errors}"));
    config.pipelines.values().next().unwrap().steps[0].settings.clone()
}

#[test]
fn the_text_of_a_file_stands_at_its_setting() {
    let files = with_files(r#"{ script = "home.sieve", "lists.bad" = "lists/bad.txt" }"#);
    files.write("home.sieve", "keep; # Grüße\r\n".as_bytes());
    files.write("lists/bad.txt", b"");
    let expected =
        serde_json::json!({ "sink": "vault", "script": "keep; # Grüße\r\n", "lists": { "bad": "" } });
    assert_eq!(settings_of(&files), expected);
    let config = files.load(&[]).unwrap();
    let watched = &config.pipelines.values().next().unwrap().steps[0].files;
    assert_eq!(*watched, [files.path("lists/bad.txt"), files.path("home.sieve")]);
}

#[test]
fn the_settings_of_a_candidate_get_the_same_files() {
    let more = "files = { script = \"home.sieve\" }\nshadow = \"next.wasm\"\nshadow_settings = { sink = \"vault\", new = 1 }";
    let files = Files::new(&before_grants(more));
    files.write("home.sieve", b"keep;");
    let config = files.load(&[]).unwrap_or_else(|errors| panic!("{errors}"));
    let shadow = config.pipelines.values().next().unwrap().steps[0].shadow.clone().unwrap();
    assert_eq!(shadow.settings, Some(serde_json::json!({ "sink": "vault", "new": 1, "script": "keep;" })));
}

#[track_caller]
fn mistake(written: &str, content: Option<&[u8]>, expected: &str) {
    let files = with_files(written);
    if let Some(content) = content {
        files.write("a.txt", content);
    }
    let text = files.mistakes(&[]);
    assert!(text.starts_with("postroom.toml:12:"), "{text}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_file_that_cannot_be_taken_is_named() {
    let here = r#"{ script = "a.txt" }"#;
    mistake(here, None, "the file a.txt does not exist");
    mistake(r#"{ script = "." }"#, None, "is no regular file");
    mistake(here, Some(&vec![b'x'; (1 << 20) + 1]), "the file a.txt is larger than 1 MiB");
    mistake(here, Some(b"one\ntwo\xff"), "the file a.txt is no UTF-8 text in line 2");
    let largest = with_files(here);
    largest.write("a.txt", &vec![b'x'; 1 << 20]);
    assert_eq!(settings_of(&largest)["script"].as_str().map(str::len), Some(1 << 20));
}

#[test]
fn a_setting_that_cannot_be_put_there_is_named() {
    mistake(
        r#"{ sink = "a.txt" }"#,
        Some(b"x"),
        "settings.sink is written there already; take one of them away",
    );
    mistake(
        r#"{ "sink.name" = "a.txt" }"#,
        Some(b"x"),
        "settings.sink.name would be inside of a value that is no table",
    );
    mistake(r#"{ "a..b" = "a.txt" }"#, Some(b"x"), "this is no path of a setting");
    mistake(r#"{ a = 1 }"#, None, "must be a text in quotes, not a number");
}
