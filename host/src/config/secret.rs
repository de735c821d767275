//! Owns secrets: the configuration only refers to them, and what is read is wiped from memory when it is dropped.
//! Must never show one, in no error and no `Debug`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postroom_mail::rules::neutral;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::diagnose::ConfigError;

/// A password is short; whatever is longer is the wrong file.
const LONGEST: u64 = 64 << 10;
/// How long a command may take.
const BOUND: Duration = Duration::from_secs(10);
const HOW: &str = "write { file = \"secrets/NAME\" }, { env = \"NAME\" }, { command = [\"program\", \"argument\"] } or \
                   { credential = \"NAME\" }";

/// Where a secret is kept. Holds none itself, but the arguments of a command are not shown either.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In this file, relative to the configuration; only its owner may read it.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
    /// First line of what this program writes to standard output.
    Command(Vec<String>),
    /// A systemd credential: this file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// A secret text. Wiped when dropped; cannot be shown, cloned or written out.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret; for those that come from elsewhere than the configuration.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a reference is read against.
struct Surroundings<'a> {
    base: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    bound: Duration,
}

impl SecretRef {
    /// Reads the secret now. Blocks, for a command at most 10 seconds. `base` is the directory of the configuration file.
    ///
    /// # Errors
    /// When there is none, it cannot be read, others may read it, or it is empty or several lines.
    pub fn read(&self, base: &Path) -> Result<Secret, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok();
        self.read_in(&Surroundings { base, variable: &variable, bound: BOUND })
    }

    fn read_in(&self, around: &Surroundings<'_>) -> Result<Secret, ConfigError> {
        let mut text = match self {
            Self::File(path) => read_private(&around.base.join(path))?,
            Self::Env(name) => Zeroizing::new((around.variable)(name).ok_or_else(|| {
                let name = neutral(name, 80);
                ConfigError::new(format!("the environment variable {name} of {self} is not set, or is no UTF-8"))
                    .hint("set it for this process, or keep the secret in a file")
            })?),
            Self::Command(command) => run(command, around)?,
            Self::Credential(name) => read_credential(name, around)?,
        };
        let end = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(end);
        if text.is_empty() {
            return Err(ConfigError::new(format!("{self} is empty")).hint("put the secret there, on one line"));
        }
        if text.contains(['\n', '\r']) {
            return Err(ConfigError::new(format!("{self} has more than one line")).hint("keep only the secret there"));
        }
        Ok(Secret(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the secret file {}", neutral(&path.display().to_string(), 200)),
            Self::Env(name) => write!(f, "the secret in ${}", neutral(name, 80)),
            Self::Command(command) => {
                write!(f, "the secret from the command {}", neutral(command.first().map_or("", String::as_str), 80))
            }
            Self::Credential(name) => write!(f, "the credential {}", neutral(name, 80)),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}

/// Looks at what was opened, not at the name, so that nothing can be swapped in between.
fn read_private(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let (file, mode, owner) = open(path)?;
    let shown = neutral(&path.display().to_string(), 300);
    let me = rustix::process::geteuid().as_raw();
    if owner != me && owner != 0 {
        return Err(ConfigError::new(format!("the secret file {shown} belongs to another user (uid {owner})"))
            .hint(format!("give it to this one: chown {me} {}", quoted(&shown))));
    }
    if mode & 0o077 != 0 {
        let others = if mode & 0o044 != 0 { "can be read by other users" } else { "can be changed by other users" };
        return Err(ConfigError::new(format!("the secret file {shown} {others} (mode {mode:04o})"))
            .hint(format!("make it private: chmod 600 {}", quoted(&shown))));
    }
    read_text(file, &format!("the secret file {shown}"))
}

fn read_credential(name: &str, around: &Surroundings<'_>) -> Result<Zeroizing<String>, ConfigError> {
    let Some(directory) = (around.variable)("CREDENTIALS_DIRECTORY") else {
        return Err(ConfigError::new(format!("there is no credential {}: CREDENTIALS_DIRECTORY is not set", neutral(name, 80)))
            .hint("run as a systemd service with LoadCredential=, or keep the secret in a file"));
    };
    // The service manager made this directory for us alone and chose the modes in it.
    let (file, _, _) = open(&Path::new(&directory).join(name))?;
    read_text(file, &format!("the credential {}", neutral(name, 80)))
}

fn open(path: &Path) -> Result<(File, u32, u32), ConfigError> {
    let shown = neutral(&path.display().to_string(), 300);
    let unreadable = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => format!("write the secret into it, then: chmod 600 {}", quoted(&shown)),
            _ => "let the user that Postroom runs as read it".to_owned(),
        };
        ConfigError::new(format!("the secret file {shown} cannot be read: {}", reason(&error))).hint(hint)
    };
    // Without waiting for a writer, should it be a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(ConfigError::new(format!("the secret file {shown} is no regular file")).hint("name a file with one line"));
    }
    Ok((file, meta.mode() & 0o7777, meta.uid()))
}

fn read_text(file: impl Read, what: &str) -> Result<Zeroizing<String>, ConfigError> {
    let room = usize::try_from(LONGEST).unwrap_or(0) + 1;
    // All room at once: growing would leave copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    let read = file.take(LONGEST + 1).read_to_end(&mut octets);
    read.map_err(|error| ConfigError::new(format!("{what} cannot be read: {}", reason(&error))))?;
    if octets.len() >= room {
        return Err(ConfigError::new(format!("{what} is longer than 64 KiB")).hint("is it the right one?"));
    }
    let text = std::str::from_utf8(&octets).map_err(|_| ConfigError::new(format!("{what} is no UTF-8 text")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Runs the command in a process group of its own, so that everything it started ends with it.
fn run(command: &[String], around: &Surroundings<'_>) -> Result<Zeroizing<String>, ConfigError> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(ConfigError::new("the command of a secret is empty").hint(HOW));
    };
    let shown = neutral(name, 80);
    let program = if name.contains('/') { around.base.join(name) } else { PathBuf::from(name) };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(around.base)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            ConfigError::new(format!("the command {shown} of a secret cannot be run: {}", reason(&error)))
                .hint("check its path, and that it may be executed")
        })?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let output = child.stdout.take();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let line = output.map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), first_line);
        let _ = tell.send((line, child.wait()));
    });
    let Ok((line, status)) = told.recv_timeout(around.bound) else {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let seconds = around.bound.as_secs_f32();
        return Err(ConfigError::new(format!("the command {shown} of a secret did not end within {seconds} s"))
            .hint("it must not ask questions; run it by hand to see what it waits for"));
    };
    let failed = |how: String| {
        ConfigError::new(format!("the command {shown} of a secret failed: {how}")).hint("run it by hand to see why")
    };
    match (line, status) {
        (Ok(line), Ok(status)) if status.success() => Ok(line),
        (_, Ok(status)) if !status.success() => Err(failed(ended(status))),
        (Err(error), _) | (_, Err(error)) => Err(failed(reason(&error))),
        (Ok(line), Ok(_)) => Ok(line),
    }
}

/// Keeps the first line; the rest is read so that the program can end, and thrown away.
fn first_line(mut output: ChildStdout) -> io::Result<Zeroizing<String>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    (&mut output).take(LONGEST).read_to_end(&mut octets)?;
    io::copy(&mut output, &mut io::sink())?;
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| io::Error::other("it wrote no UTF-8 text"))?;
    Ok(Zeroizing::new(line.to_owned()))
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| "it was killed".to_owned(), |code| format!("exit code {code}"))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// For a shell.
fn quoted(path: &str) -> String {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Every kind of value is visited by name here, because serde's own texts would show it.
struct Reference;

impl Reference {
    fn literal<T, E: de::Error>() -> Result<T, E> {
        Err(E::custom(format!("a secret is never written into the configuration itself\n{HOW}")))
    }
}

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<Word>,
    env: Option<Word>,
    command: Option<Words>,
    credential: Option<Word>,
}

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<SecretRef, A::Error> {
        Self::literal()
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        let written = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let file = written.file.map(|Word(path)| SecretRef::File(path.into()));
        let env = written.env.map(|Word(name)| SecretRef::Env(name));
        let command = written.command.map(|Words(words)| SecretRef::Command(words));
        let credential = written.credential.map(|Word(name)| SecretRef::Credential(name));
        let mut references = [file, env, command, credential].into_iter().flatten();
        let wrong = |text: &str| de::Error::custom(format!("{text}\n{HOW}"));
        match (references.next(), references.next()) {
            (Some(reference), None) => checked(reference).map_err(wrong),
            (None, _) => Err(wrong("a secret needs a place to come from")),
            (Some(_), Some(_)) => Err(wrong("a secret comes from one place only")),
        }
    }
}

fn checked(reference: SecretRef) -> Result<SecretRef, &'static str> {
    match &reference {
        SecretRef::File(path) if path.as_os_str().is_empty() => Err("the name of a secret file is empty"),
        SecretRef::Env(name) if name.is_empty() || name.contains(['=', '\0']) => Err("that is no name of a variable"),
        SecretRef::Command(words) if words.first().is_none_or(String::is_empty) => Err("the command of a secret is empty"),
        SecretRef::Credential(name) if !is_plain_name(name) => Err("a credential is a name without \"/\""),
        _ => Ok(reference),
    }
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// A text whose value no error shows.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A list of such texts.
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Words, E> {
                Err(E::custom("a command is a list: its program, then its arguments\nfor example [\"pass\", \"show\", \"mail\"]"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Words, A::Error> {
                let mut list = Vec::new();
                while let Some(Word(word)) = words.next_element()? {
                    list.push(word);
                }
                Ok(Words(list))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
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
        let read = reference.read_in(&around).map_err(|error| error.to_string().replace(&base.display().to_string(), "BASE"));
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
            let secret = read(&file(base.path(), "secrets/home", content.as_bytes(), 0o600), base.path()).unwrap();
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
        assert!(error.contains("BASE/gone cannot be read: there is no such file; write the secret into it"), "{error}");
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
        for json in ["\"canary-1234\"", "1234", "-1234", "1234.5", "[\"canary-1234\"]", "{\"env\": 1234}", "{\"command\": \"canary-1234\"}"] {
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
}
