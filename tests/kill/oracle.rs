//! What must be true after a kill and in the end. Looks at real files, the S3 server's objects and what the SMTP server took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postroom_mail::Digest;

use crate::scenario::{End, Scenario};
use crate::world::{RECIPIENT, Run, World};

/// So many runs without a fault must be enough to end everything.
const SETTLING: usize = 4;

/// Nothing may be gone from the server that is not at every sink: deletion waits for that.
pub(crate) fn not_lost(world: &World, scenario: &Scenario) {
    if scenario.end == End::Seen {
        return;
    }
    let left: Vec<Vec<u8>> = world.maildrop.messages("user").into_iter().map(|(_, octets)| octets).collect();
    let sinks = Sinks::of(world);
    for mail in world.mails.iter().filter(|mail| !left.contains(mail)) {
        let digest = Digest::of(mail);
        for (sink, held) in [("directory", &sinks.vault), ("maildir", &sinks.mailbox), ("s3", &sinks.bucket)]
        {
            assert!(
                held.contains_key(&digest),
                "LOST: {digest} is gone from the server and not in the {sink}"
            );
        }
        assert!(
            !scenario.sends || sinks.relay(mail) > 0,
            "LOST: {digest} is gone from the server and was not sent"
        );
    }
}

/// Runs the program until nothing is left to do, and compares everything. Answers how many mails were sent twice.
pub(crate) async fn settled(world: &World, scenario: &Scenario) -> usize {
    let mut last = None;
    for _ in 0..SETTLING {
        let run = world.run(&["once", "--json"], "").await;
        let summary = run.json();
        let counts = &summary["counts"];
        let open = ["waiting", "planned", "effects_open"].iter().any(|count| counts[count] != 0);
        let gone = scenario.end != End::Moved || counts["removed"] == world.mails.len();
        let quiet = !open && gone && run.status.success();
        last = Some((quiet, run));
        if quiet {
            break;
        }
    }
    let (quiet, run) = last.expect("at least one run");
    assert!(quiet, "not over after {SETTLING} more runs: {run:#?}");
    counts(world, scenario, &run);
    server(world, scenario);
    not_lost(world, scenario);
    leftovers(world);
    sinks(world, scenario)
}

fn counts(world: &World, scenario: &Scenario, run: &Run) {
    let counts = &run.json()["counts"];
    let all = world.mails.len();
    let (admitted, done, quarantined) = match scenario.end {
        End::Moved | End::Copied => (all, all, 0),
        End::Seen => (0, 0, 0),
        End::Quarantined => (all, 0, all),
    };
    for (count, wanted) in [
        ("admitted", admitted),
        ("done", done),
        ("quarantined", quarantined),
        ("discarded", 0),
        ("effects_parked", 0),
    ] {
        assert_eq!(counts[count], wanted, "{count}: {counts:#}");
    }
}

fn server(world: &World, scenario: &Scenario) {
    let left = world.maildrop.messages("user").len();
    match scenario.end {
        End::Moved => assert_eq!(left, 0, "everything was to be deleted at the server"),
        End::Copied | End::Seen | End::Quarantined => {
            assert_eq!(left, world.mails.len(), "nothing was to be deleted at the server");
        }
    }
}

/// Every mail once at each sink, octet for octet.
fn sinks(world: &World, scenario: &Scenario) -> usize {
    let doubts = world.doubts();
    let sinks = Sinks::of(world);
    let delivered = matches!(scenario.end, End::Moved | End::Copied);
    let wanted: BTreeMap<Digest, usize> =
        world.mails.iter().filter(|_| delivered).map(|mail| (Digest::of(mail), 1)).collect();
    assert_eq!(sinks.vault, wanted, "the directory");
    assert_eq!(sinks.mailbox, wanted, "the Maildir");
    assert_eq!(sinks.bucket, wanted, "the bucket");
    if !delivered || !scenario.sends {
        assert!(sinks.sent.is_empty(), "nothing was to be sent");
        return 0;
    }
    let mut doubled = 0;
    for mail in world.mails {
        match sinks.relay(mail) {
            1 => {}
            2 => doubled += 1,
            times => panic!("a mail was sent {times} times"),
        }
    }
    assert_eq!(sinks.sent.len(), world.mails.len() + doubled, "the receiver has something nobody sent");
    assert!(doubled <= doubts, "{doubled} mails were sent twice, and only {doubts} were in doubt");
    doubled
}

/// No temporary file outlives the work it was for.
fn leftovers(world: &World) {
    assert!(files(&world.path("state/incoming")).is_empty(), "something is still arriving");
    for directory in ["vault", "box"] {
        let left: Vec<_> = names(world, directory).into_iter().filter(|name| is_temporary(name)).collect();
        assert!(left.is_empty(), "temporary files were left in the {directory}: {left:?}");
    }
}

/// A file of a delivery that is not over.
fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp") || name.split('/').any(|part| part == "tmp")
}

struct Sinks {
    vault: BTreeMap<Digest, usize>,
    mailbox: BTreeMap<Digest, usize>,
    bucket: BTreeMap<Digest, usize>,
    sent: Vec<Vec<u8>>,
}

impl Sinks {
    fn of(world: &World) -> Self {
        let held = |directory: &str| {
            let mut digests = BTreeMap::new();
            let message = |name: &String| !is_temporary(name) && !name.ends_with("maildirfolder");
            for name in names(world, directory).into_iter().filter(message) {
                let octets = std::fs::read(world.path(directory).join(name)).expect("a file");
                *digests.entry(Digest::of(&octets)).or_default() += 1;
            }
            digests
        };
        let mut bucket = BTreeMap::new();
        for key in world.bucket.keys().expect("keys") {
            let object = world.bucket.object(&key).expect("readable").expect("an object");
            *bucket.entry(Digest::of(&object)).or_default() += 1;
        }
        let accepted = world.receiver.accepted();
        assert!(accepted.iter().all(|mail| mail.recipients == [RECIPIENT]), "a stranger got mail");
        let sent = accepted.into_iter().map(|mail| mail.octets).collect();
        Self { vault: held("vault"), mailbox: held("box"), bucket, sent }
    }

    /// How often a mail was sent: with a trace field before it, without the `Return-Path` that its last server put there,
    /// and otherwise as it came.
    fn relay(&self, mail: &[u8]) -> usize {
        let end = mail.iter().position(|&octet| octet == b'\n').map_or(0, |at| at + 1);
        let kept = if mail.starts_with(b"Return-Path:") { &mail[end..] } else { mail };
        self.sent.iter().filter(|sent| sent.ends_with(kept)).count()
    }
}

/// The files below a directory of the world, relative to it.
fn names(world: &World, directory: &str) -> Vec<String> {
    let root = world.path(directory);
    let relative = |file: PathBuf| file.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
    files(&root).into_iter().map(relative).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
