//! Where secrets are read from, and that none is shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const CANARY: &str = "canary-hunter2-7f3a";

fn read(reference: &SecretRef, base: &Path) -> Result<Secret, String> {
    let variable = |name: &str| match name {
        "SET" => Some(CANARY.to_owned()),
        "CREDENTIALS_DIRECTORY" => Some(base.join("credentials").display().to_string()),
        _ => None,
    };
    let around = Surroundings { base, variable: &variable, bound: Duration::from_secs(5) };
    let read = reference
        .read_in(&around)
        .map_err(|error| error.to_string().replace(&base.display().to_string(), "BASE"));
    if let Err(text) = &read {
        assert!(!text.contains(CANARY), "{text}");
    }
    read
}

fn file(base: &Path, name: &str, content: &[u8], mode: u32) -> SecretRef {
    let path = base.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    SecretRef::File(name.into())
}

fn command(words: &[&str]) -> SecretRef {
    SecretRef::Command(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn a_private_file_is_read_without_its_newline() {
    let base = tempfile::tempdir().unwrap();
    for content in [CANARY.to_owned(), format!("{CANARY}\n"), format!("{CANARY}\r\n")] {
        let secret =
            read(&file(base.path(), "secrets/home", content.as_bytes(), 0o600), base.path()).unwrap();
        assert_eq!(secret.expose(), CANARY);
    }
    let blanks = read(&file(base.path(), "blanks", b" a b \n", 0o400), base.path()).unwrap();
    assert_eq!(blanks.expose(), " a b ");
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let base = tempfile::tempdir().unwrap();
    let error = read(&file(base.path(), "open", CANARY.as_bytes(), 0o640), base.path()).unwrap_err();
    let expected = "the secret file BASE/open can be read by other users (mode 0640); make it private: chmod 600 BASE/open";
    assert_eq!(error, expected);
    let error = read(&file(base.path(), "it's", CANARY.as_bytes(), 0o602), base.path()).unwrap_err();
    assert!(error.contains("can be changed by other users") && error.contains(r"'BASE/it'\''s'"), "{error}");
}

#[test]
fn what_is_no_single_line_of_text_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let two = format!("{CANARY}\n{CANARY}\n");
    for (content, what) in [
        (b"".as_slice(), "is empty"),
        (b"\n\n", "is empty"),
        (two.as_bytes(), "has more than one line"),
        (b"\xff\xfe", "is no UTF-8 text"),
        (&[b'x'; 70_000], "is longer than 64 KiB"),
    ] {
        let error = read(&file(base.path(), "s", content, 0o600), base.path()).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let error = read(&SecretRef::File("gone".into()), base.path()).unwrap_err();
    assert!(
        error.contains("BASE/gone cannot be read: there is no such file; write the secret into it"),
        "{error}"
    );
    let error = read(&SecretRef::File(".".into()), base.path()).unwrap_err();
    assert!(error.contains("is no regular file"), "{error}");
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_block() {
    let base = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(base.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let error = read(&SecretRef::File("pipe".into()), base.path()).unwrap_err();
    assert!(error.contains("is no regular file"), "{error}");
}

#[test]
fn variables_and_credentials_are_read() {
    let base = tempfile::tempdir().unwrap();
    assert_eq!(read(&SecretRef::Env("SET".into()), base.path()).unwrap().expose(), CANARY);
    let error = read(&SecretRef::Env("UNSET".into()), base.path()).unwrap_err();
    assert!(error.contains("the environment variable UNSET"), "{error}");
    file(base.path(), "credentials/pop", CANARY.as_bytes(), 0o440);
    assert_eq!(read(&SecretRef::Credential("pop".into()), base.path()).unwrap().expose(), CANARY);
    let nothing = |_: &str| None;
    let around = Surroundings { base: base.path(), variable: &nothing, bound: BOUND };
    let error = SecretRef::Credential("pop".into()).read_in(&around).unwrap_err().to_string();
    assert!(error.contains("CREDENTIALS_DIRECTORY is not set"), "{error}");
}

#[test]
fn the_first_line_of_a_command_is_the_secret() {
    let base = tempfile::tempdir().unwrap();
    let print = format!("printf '%s\\nlogin: me\\n' {CANARY}");
    assert_eq!(read(&command(&["sh", "-c", &print]), base.path()).unwrap().expose(), CANARY);
    file(base.path(), "bin/give", format!("#!/bin/sh\necho {CANARY}\n").as_bytes(), 0o700);
    assert_eq!(read(&command(&["bin/give"]), base.path()).unwrap().expose(), CANARY);
}

#[test]
fn a_command_that_fails_says_how_without_its_arguments_or_output() {
    let base = tempfile::tempdir().unwrap();
    let fail = format!("echo {CANARY}; exit 3");
    let error = read(&command(&["sh", "-c", &fail]), base.path()).unwrap_err();
    assert_eq!(error, "the command sh of a secret failed: exit code 3; run it by hand to see why");
    let error = read(&command(&["no-such-program", CANARY]), base.path()).unwrap_err();
    assert!(error.contains("cannot be run: there is no such file"), "{error}");
}

#[test]
fn a_command_that_does_not_end_is_killed_with_what_it_started() {
    let base = tempfile::tempdir().unwrap();
    let variable = |_: &str| None;
    let around = Surroundings { base: base.path(), variable: &variable, bound: Duration::from_millis(300) };
    let hang = command(&["sh", "-c", "echo $$ > pid; sleep 600 & wait"]);
    let error = hang.read_in(&around).unwrap_err().to_string();
    assert!(error.starts_with("the command sh of a secret did not end within 0.3 s"), "{error}");
    let pid: i32 = fs::read_to_string(base.path().join("pid")).unwrap().trim().parse().unwrap();
    let group = Pid::from_raw(pid).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while rustix::process::test_kill_process_group(group).is_ok() {
        assert!(std::time::Instant::now() < deadline, "still running");
        thread::yield_now();
    }
}

#[test]
fn no_secret_and_no_argument_of_a_command_is_shown() {
    let secret = Secret::new(CANARY.to_owned());
    let reference = command(&["pass", CANARY]);
    let shown = format!("{secret:?} {secret} {reference:?} {reference}");
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(shown.contains("Secret(..) (secret)") && shown.contains("pass"), "{shown}");
}

#[test]
fn a_literal_is_refused_without_showing_it() {
    for json in [
        "\"canary-1234\"",
        "1234",
        "-1234",
        "1234.5",
        "[\"canary-1234\"]",
        "{\"env\": 1234}",
        "{\"command\": \"canary-1234\"}",
    ] {
        let error = serde_json::from_str::<SecretRef>(json).unwrap_err().to_string();
        assert!(!error.contains("1234"), "{error}");
    }
    for (json, what) in [
        ("{}", "a secret needs a place to come from"),
        (r#"{"file": "a", "env": "B"}"#, "a secret comes from one place only"),
        (r#"{"credential": "../x"}"#, "a credential is a name"),
        (r#"{"command": []}"#, "the command of a secret is empty"),
    ] {
        let error = serde_json::from_str::<SecretRef>(json).unwrap_err().to_string();
        assert!(error.starts_with(what), "{error}");
    }
}
