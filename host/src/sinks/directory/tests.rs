//! Files appear whole, under safe names, once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use postroom_mail::Coding;

use super::super::testing::{NOW, build, class, deliver, effect, numbered, of_the_sink, other_id, try_build};
use super::super::{Kind, Sink};
use super::publish::temporary_name;

const RAW: &[u8] = b"Subject: a\r\n\r\nbody\n\x00\xFF no final line end";

fn sink(base: &Path) -> Sink {
    build(base, "type = \"directory\"\npath = \"out\"")
}

/// Every file beneath, as path and content, sorted.
fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => open.push(entry.path()),
                _ => {
                    let path = entry.path().strip_prefix(root).unwrap().display().to_string();
                    found.push((path, fs::read(entry.path()).unwrap_or_default()));
                }
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn content_is_stored_under_its_key_octet_for_octet() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    assert_eq!(sink.kind(), Kind::Object);
    let effect = effect("home/2026/11/a.eml", RAW);
    let receipt = deliver(&sink, &effect, RAW, 1).await.unwrap();
    assert!(!receipt.already);
    assert!(receipt.location.ends_with("out/home/2026/11/a.eml"));
    assert_eq!(receipt.proof, format!("sha256 {}", effect.digest));
    assert_eq!(tree(&base.path().join("out")), [("home/2026/11/a.eml".to_owned(), RAW.to_vec())]);
    let mode = fs::metadata(base.path().join("out/home/2026/11/a.eml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test]
async fn a_retry_finds_what_an_earlier_attempt_stored() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = effect("a.eml", RAW);
    deliver(&sink, &effect, RAW, 1).await.unwrap();
    assert!(deliver(&sink, &effect, RAW, 2).await.unwrap().already);
    assert_eq!(tree(&base.path().join("out")).len(), 1);
}

#[tokio::test]
async fn a_taken_key_is_refused_and_left_as_it_is() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    // One other length, one of the same length.
    for (key, other) in [("a.eml", b"other".to_vec()), ("b.eml", vec![b'x'; RAW.len()])] {
        fs::create_dir_all(base.path().join("out")).unwrap();
        fs::write(base.path().join("out").join(key), &other).unwrap();
        let outcome = deliver(&sink, &effect(key, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "permanent");
        assert_eq!(fs::read(base.path().join("out").join(key)).unwrap(), other);
    }
    assert_eq!(tree(&base.path().join("out")).len(), 2, "no temporary file stays");
}

#[tokio::test]
async fn numbers_are_given_once_per_content_however_often_it_is_tried() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let contents: [&[u8]; 3] = [b"one", b"two", b"three"];
    for attempt in 1..=2 {
        for raw in contents {
            let receipt = deliver(&sink, &numbered(effect("dir/a.pdf", raw)), raw, attempt).await.unwrap();
            assert_eq!(receipt.already, attempt == 2, "{}", receipt.location);
        }
    }
    let mut stored: Vec<Vec<u8>> =
        tree(&base.path().join("out")).into_iter().map(|(_, octets)| octets).collect();
    stored.sort();
    assert_eq!(stored, [b"one".to_vec(), b"three".to_vec(), b"two".to_vec()]);
}

#[tokio::test]
async fn what_a_crash_left_behind_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = effect("dir/a.eml", RAW);
    fs::create_dir_all(base.path().join("out/dir")).unwrap();
    fs::write(base.path().join("out/dir").join(temporary_name(&effect)), b"half").unwrap();
    let receipt = deliver(&sink, &effect, RAW, 2).await.unwrap();
    assert!(!receipt.already);
    assert_eq!(tree(&base.path().join("out")), [("dir/a.eml".to_owned(), RAW.to_vec())]);
}

#[tokio::test]
async fn a_symbolic_link_never_leads_out_of_the_root() {
    let base = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let out = base.path().join("out");
    fs::create_dir_all(out.join("home")).unwrap();
    fs::write(elsewhere.path().join("victim"), RAW).unwrap();
    symlink(elsewhere.path(), out.join("home/2026")).unwrap();
    symlink(elsewhere.path().join("victim"), out.join("home/link.eml")).unwrap();
    symlink(elsewhere.path().join("missing"), out.join("home/dangling.eml")).unwrap();
    let sink = sink(base.path());
    for key in ["home/2026/a.eml", "home/link.eml", "home/dangling.eml"] {
        let outcome = deliver(&sink, &effect(key, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "permanent", "{key}: {outcome:?}");
    }
    let temporary = effect("a.eml", RAW);
    symlink(elsewhere.path().join("victim"), out.join(temporary_name(&temporary))).unwrap();
    deliver(&sink, &temporary, RAW, 2).await.unwrap();
    assert_eq!(tree(elsewhere.path()), [("victim".to_owned(), RAW.to_vec())]);
}

#[tokio::test]
async fn swapping_a_directory_for_a_link_while_storing_gains_nothing() {
    let base = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let out = base.path().join("out");
    fs::create_dir_all(out.join("real")).unwrap();
    let (real, aside, link) = (out.join("dir"), out.join("real"), elsewhere.path().to_owned());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&aside, &real);
                let _ = fs::rename(&real, &aside);
                let _ = symlink(&link, &real);
                let _ = fs::remove_file(&real);
            }
        }
    });
    let sink = sink(base.path());
    for number in 0..300 {
        let raw = format!("message {number}");
        let effect = effect(&format!("dir/{number}.eml"), raw.as_bytes());
        // Whether it succeeds depends on the race; where it writes must not.
        let _ = deliver(&sink, &effect, raw.as_bytes(), 1).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(deliver(&sink, &effect("dir/last.eml", RAW), RAW, 1).await.is_ok(), "the link is gone at last");
    assert_eq!(tree(elsewhere.path()), []);
}

#[tokio::test]
async fn what_is_not_a_file_under_the_key_is_neither_read_nor_replaced() {
    let base = tempfile::tempdir().unwrap();
    let out = base.path().join("out");
    fs::create_dir_all(out.join("dir.eml")).unwrap();
    fs::write(out.join("file"), b"a file").unwrap();
    // A FIFO would hang whoever opens it without care.
    let status = std::process::Command::new("mkfifo").arg(out.join("fifo.eml")).status().unwrap();
    assert!(status.success());
    let sink = sink(base.path());
    for key in ["dir.eml", "fifo.eml", "file/below.eml"] {
        let outcome = deliver(&sink, &effect(key, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "permanent", "{key}: {outcome:?}");
    }
}

#[tokio::test]
async fn zstd_content_is_stored_coded_and_found_again_whatever_coded_it() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let raw = b"Subject: a\r\n\r\n0123456789".repeat(1000);
    let mut effect = effect("a.eml.zst", &raw);
    effect.content.coding = Coding::Zstd;
    deliver(&sink, &effect, &raw, 1).await.unwrap();
    let path = base.path().join("out/a.eml.zst");
    assert_eq!(zstd::stream::decode_all(fs::read(&path).unwrap().as_slice()).unwrap(), raw);
    assert!(deliver(&sink, &effect, &raw, 2).await.unwrap().already);

    fs::write(&path, zstd::stream::encode_all(raw.as_slice(), 9).unwrap()).unwrap();
    assert!(deliver(&sink, &effect, &raw, 2).await.unwrap().already);
    // Not a frame at all, and a frame that decodes to far more: other content, at no cost.
    for other in [b"garbage".to_vec(), zstd::stream::encode_all(vec![0; 50 << 20].as_slice(), 3).unwrap()] {
        fs::write(&path, &other).unwrap();
        assert_eq!(class(&deliver(&sink, &effect, &raw, 2).await), "permanent");
    }
}

#[tokio::test]
async fn content_that_no_longer_matches_leaves_no_file() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = effect("a.eml", RAW);
    let outcome = deliver(&sink, &effect, &vec![b'x'; RAW.len()], 1).await;
    assert_eq!(class(&outcome), "permanent");
    assert!(outcome.unwrap_err().to_string().starts_with("sink vault: the content no longer matches"));
    assert_eq!(tree(&base.path().join("out")), []);
}

#[tokio::test]
async fn long_names_are_stored_and_too_long_ones_are_the_effects_fault() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let long = format!("{}.eml", "n".repeat(196));
    deliver(&sink, &numbered(effect(&long, b"one")), b"one", 1).await.unwrap();
    deliver(&sink, &numbered(effect(&long, b"two")), b"two", 1).await.unwrap();
    assert_eq!(tree(&base.path().join("out")).len(), 2);
}

#[tokio::test]
async fn many_deliveries_at_once_into_one_new_directory_all_arrive() {
    let base = tempfile::tempdir().unwrap();
    let sink = std::sync::Arc::new(sink(base.path()));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..32 {
        let sink = std::sync::Arc::clone(&sink);
        running.spawn(async move {
            let raw = format!("message {number}");
            deliver(&sink, &numbered(effect("new/dir/same.eml", raw.as_bytes())), raw.as_bytes(), 1).await
        });
    }
    for outcome in running.join_all().await {
        assert!(!outcome.unwrap().already);
    }
    assert_eq!(tree(&base.path().join("out")).len(), 32);
}

#[tokio::test]
async fn two_effects_with_the_same_key_and_content_are_one_file() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let one = effect("a.eml", RAW);
    let mut two = one.clone();
    two.id = other_id(&one);
    assert!(!deliver(&sink, &one, RAW, 1).await.unwrap().already);
    assert!(deliver(&sink, &two, RAW, 1).await.unwrap().already);
}

#[tokio::test]
async fn a_missing_or_forbidden_root_holds_the_sink_and_says_what_to_do() {
    let base = tempfile::tempdir().unwrap();
    let deep = build(base.path(), "type = \"directory\"\npath = \"not/there\"");
    let outcome = deliver(&deep, &effect("a.eml", RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "configuration");
    assert!(outcome.unwrap_err().to_string().contains("the directory is missing"));
    assert_eq!(class(&deep.probe(NOW).await), "configuration");
    assert_eq!(sink(base.path()).probe(NOW).await.unwrap().len(), 1);
    assert_eq!(tree(&base.path().join("out")), [], "the probe leaves nothing");
}

#[tokio::test]
async fn a_full_disk_is_temporary() {
    // Linux answers ENOSPC to every write here.
    let full = super::publish::fault("/dev/full", fs::write("/dev/full", b"x").unwrap_err());
    let error = full.at(&postroom_mail::Name::new("vault").unwrap());
    assert_eq!(class::<()>(&Err(error)), "temporary");
}

#[test]
fn modes_are_octal_and_sensible() {
    let base = tempfile::tempdir().unwrap();
    let config = |mode: &str| format!("type = \"directory\"\npath = \"out\"\nmode = {mode}");
    for good in ["\"0600\"", "0o644", "\"664\""] {
        assert!(try_build(base.path(), &config(good)).is_ok(), "{good}");
    }
    for bad in ["640", "\"0200\"", "0o7777"] {
        assert!(try_build(base.path(), &config(bad)).is_err(), "{bad}");
    }
    let unknown = "type = \"directory\"\npath = \"out\"\nmodes = 1";
    assert!(toml::from_str::<super::super::SinkConfig>(unknown).is_err());
}

#[test]
fn errors_of_the_file_system_are_the_disks_the_operators_or_the_effects() {
    use rustix::io::Errno;
    let table = [
        (Errno::NOSPC, "temporary", true),
        (Errno::DQUOT, "temporary", true),
        (Errno::ROFS, "temporary", true),
        (Errno::IO, "temporary", true),
        (Errno::MFILE, "temporary", true),
        (Errno::XDEV, "configuration", false),
        (Errno::ACCESS, "configuration", false),
        (Errno::NOENT, "configuration", false),
        (Errno::LOOP, "permanent", false),
        (Errno::NAMETOOLONG, "permanent", false),
    ];
    for (errno, expected, whole) in table {
        let fault = super::publish::fault("/mail", errno.into());
        let outcome: Result<(), _> = Err(fault.at(&postroom_mail::Name::new("vault").unwrap()));
        assert_eq!((class(&outcome), of_the_sink(&outcome)), (expected, whole), "{errno:?}: {outcome:?}");
    }
}
