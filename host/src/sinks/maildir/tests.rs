//! Messages appear whole in new or cur, once.

use std::fs;
use std::path::Path;

use super::super::Sink;
use super::super::testing::{build, class, deliver, effect, file_into};

const RAW: &[u8] = b"Subject: a\r\n\r\nbody";

fn sink(base: &Path) -> Sink {
    build(base, "type = \"maildir\"\npath = \"Mail\"")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[tokio::test]
async fn a_message_without_flags_is_new_in_the_inbox() {
    let base = tempfile::tempdir().unwrap();
    let effect = file_into("", "", RAW);
    let receipt = deliver(&sink(base.path()), &effect, RAW, 1).await.unwrap();
    assert!(!receipt.already);
    let expected = format!("1795000000.E{}.postroom", effect.id.0.short(32));
    assert_eq!(names(&base.path().join("Mail")), ["cur", "new", "tmp"]);
    assert_eq!(names(&base.path().join("Mail/new")), std::slice::from_ref(&expected));
    assert_eq!(names(&base.path().join("Mail/tmp")), Vec::<String>::new());
    assert_eq!(fs::read(base.path().join("Mail/new").join(expected)).unwrap(), RAW);
}

#[tokio::test]
async fn flags_and_folders_are_named_as_maildir_wants() {
    let base = tempfile::tempdir().unwrap();
    let effect = file_into("Work/Bills", "SFS", RAW);
    deliver(&sink(base.path()), &effect, RAW, 1).await.unwrap();
    let folder = base.path().join("Mail/.Work.Bills");
    let expected = format!("1795000000.E{}.postroom:2,FS", effect.id.0.short(32));
    assert_eq!(names(&folder), ["cur", "maildirfolder", "new", "tmp"]);
    assert_eq!(names(&folder.join("cur")), [expected]);
    assert_eq!(class(&deliver(&sink(base.path()), &file_into("", "X", RAW), RAW, 1).await), "permanent");
}

#[tokio::test]
async fn a_retry_finds_the_message_wherever_the_reader_moved_it() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = file_into("", "", RAW);
    deliver(&sink, &effect, RAW, 1).await.unwrap();
    let name = format!("1795000000.E{}.postroom", effect.id.0.short(32));
    let (new, cur) = (base.path().join("Mail/new"), base.path().join("Mail/cur"));
    assert!(deliver(&sink, &effect, RAW, 2).await.unwrap().already, "still in new");
    fs::rename(new.join(&name), cur.join(format!("{name}:2,RS"))).unwrap();
    let receipt = deliver(&sink, &effect, RAW, 3).await.unwrap();
    assert!(receipt.already);
    assert!(receipt.location.ends_with(":2,RS"));
    assert_eq!(names(&new), Vec::<String>::new());
    assert_eq!(names(&cur).len(), 1);
}

#[tokio::test]
async fn a_first_attempt_that_is_repeated_unseen_makes_no_second_copy() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    for flags in ["", "S"] {
        let effect = file_into("", flags, RAW);
        deliver(&sink, &effect, RAW, 1).await.unwrap();
        assert!(deliver(&sink, &effect, RAW, 1).await.unwrap().already);
        assert_eq!(names(&base.path().join("Mail/tmp")), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_a_crash_left_in_tmp_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let effect = file_into("", "", RAW);
    let name = format!("1795000000.E{}.postroom", effect.id.0.short(32));
    fs::create_dir_all(base.path().join("Mail/tmp")).unwrap();
    fs::write(base.path().join("Mail/tmp").join(&name), b"half").unwrap();
    assert!(!deliver(&sink(base.path()), &effect, RAW, 2).await.unwrap().already);
    assert_eq!(fs::read(base.path().join("Mail/new").join(&name)).unwrap(), RAW);
    assert_eq!(names(&base.path().join("Mail/tmp")), Vec::<String>::new());
}

#[tokio::test]
async fn a_folder_that_is_a_symbolic_link_is_not_followed() {
    let base = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("Mail")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), base.path().join("Mail/.Work")).unwrap();
    let outcome = deliver(&sink(base.path()), &file_into("Work", "", RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "permanent", "{outcome:?}");
    assert_eq!(names(elsewhere.path()), Vec::<String>::new());
}

#[tokio::test]
async fn only_messages_can_be_filed() {
    let base = tempfile::tempdir().unwrap();
    let mut coded = file_into("", "", RAW);
    coded.content.coding = postroom_mail::Coding::Zstd;
    assert_eq!(class(&deliver(&sink(base.path()), &coded, RAW, 1).await), "permanent");
    let outcome = deliver(&sink(base.path()), &effect("a.eml", RAW), RAW, 1).await;
    assert!(outcome.unwrap_err().to_string().contains("cannot carry out a store effect"));
}

#[tokio::test]
async fn many_deliveries_at_once_into_one_new_folder_all_arrive() {
    let base = tempfile::tempdir().unwrap();
    let sink = std::sync::Arc::new(sink(base.path()));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..32 {
        let sink = std::sync::Arc::clone(&sink);
        running.spawn(async move {
            let raw = format!("Subject: {number}\r\n\r\n");
            deliver(&sink, &file_into("New/Folder", "", raw.as_bytes()), raw.as_bytes(), 1).await
        });
    }
    assert!(
        running.join_all().await.into_iter().all(|outcome| outcome.is_ok_and(|receipt| !receipt.already))
    );
    assert_eq!(names(&base.path().join("Mail/.New.Folder/new")).len(), 32);
}

/// The one duplicate there can be: nothing of the first copy is left to be found.
#[tokio::test]
async fn a_message_that_was_expunged_before_the_retry_comes_back_once() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = file_into("", "", RAW);
    deliver(&sink, &effect, RAW, 1).await.unwrap();
    let new = base.path().join("Mail/new");
    fs::remove_file(new.join(&names(&new)[0])).unwrap();
    assert!(!deliver(&sink, &effect, RAW, 2).await.unwrap().already);
    assert!(deliver(&sink, &effect, RAW, 3).await.unwrap().already);
    assert_eq!(names(&new).len(), 1);
}

#[tokio::test]
async fn a_reader_that_takes_mail_out_of_new_at_every_moment_makes_no_second_copy() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let (new, cur) = (base.path().join("Mail/new"), base.path().join("Mail/cur"));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (done, from, to) = (std::sync::Arc::clone(&stop), new.clone(), cur.clone());
    let reader = std::thread::spawn(move || {
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            for name in names(&from) {
                // Gone again already, perhaps.
                let _ = fs::rename(from.join(&name), to.join(format!("{name}:2,S")));
            }
        }
    });
    for number in 0..50 {
        let raw = format!("Subject: {number}\r\n\r\nbody").into_bytes();
        let effect = file_into("", "", &raw);
        for attempt in 1..=3 {
            let receipt = deliver(&sink, &effect, &raw, attempt).await.unwrap();
            assert_eq!(receipt.already, attempt > 1, "{number} {attempt}");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    reader.join().unwrap();
    assert_eq!(names(&new).len() + names(&cur).len(), 50);
}

/// A first attempt cannot find an earlier one, so it does not read a mailbox of a hundred thousand messages for it.
#[tokio::test]
async fn a_first_attempt_does_not_look_through_the_mailbox() {
    let base = tempfile::tempdir().unwrap();
    let sink = sink(base.path());
    let effect = file_into("", "", RAW);
    deliver(&sink, &effect, RAW, 1).await.unwrap();
    let name = format!("1795000000.E{}.postroom", effect.id.0.short(32));
    let (new, cur) = (base.path().join("Mail/new"), base.path().join("Mail/cur"));
    fs::rename(new.join(&name), cur.join(format!("{name}:2,S"))).unwrap();
    assert!(!deliver(&sink, &effect, RAW, 1).await.unwrap().already, "cur was not read");
    assert!(deliver(&sink, &effect, RAW, 2).await.unwrap().already);
}
