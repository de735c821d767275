//! What the disk under the state directory may be: read-only, out of files. Each is told for what it is, and passes by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use postroom_mail::Timestamp;

use super::crash::Tiny;
use crate::conformance::sample::{self, admit, arrival, octets};
use crate::{Error, Spool, SqliteSpool};

const NOW: Timestamp = Timestamp(2000);

fn remount(at: &Path, how: &str) {
    let mounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(at).status().unwrap();
    assert!(mounted.success(), "remount,{how}");
}

#[tokio::test]
async fn a_read_only_state_directory_is_named_and_taken_once_it_is_writable() {
    let Some(disk) = Tiny::mount_with("size=64m") else {
        println!("skipped: this user cannot mount a small file system to make read-only");
        return;
    };
    let path = disk.0.path().join("state");
    let spool = SqliteSpool::open(&path).unwrap();
    let message = admit(&spool, "u", b"octets").await;
    drop(spool);
    remount(disk.0.path(), "ro");
    let Err(error) = SqliteSpool::open(&path) else { panic!("it was opened") };
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "the state directory {} is on a file system that is read-only now: mount it writable, mail stays on the server \
             meanwhile",
            path.display()
        )
    );
    remount(disk.0.path(), "rw");
    let spool = SqliteSpool::open(&path).unwrap();
    assert_eq!(octets(&spool.open(message).await.unwrap()), b"octets");
}

#[tokio::test]
async fn a_disk_without_files_to_give_is_full_and_says_so_before() {
    let Some(disk) = Tiny::mount_with("size=64m,nr_inodes=40") else {
        println!("skipped: this user cannot mount a small file system without inodes");
        return;
    };
    let spool = SqliteSpool::open(&disk.0.path().join("state")).unwrap();
    let before = spool.free().unwrap().unwrap();
    assert!(before.files > 0 && before.files < 40 && before.octets > 8 << 20, "{before:?}");
    let mut files = 0;
    while fs::write(disk.0.path().join(files.to_string()), b"").is_ok() {
        files += 1;
    }
    assert_eq!(spool.free().unwrap().unwrap().files, 0);
    // Larger than what is kept in memory: it takes a file of its own.
    let large = sample::noise(1, 3 << 20);
    let mut incoming = spool.incoming(sample::LIMIT).unwrap();
    assert!(matches!(incoming.write(&large), Err(Error::Full { .. })));
    assert_eq!(spool.counts(None).await.unwrap().admitted, 0);
    for file in 0..files {
        fs::remove_file(disk.0.path().join(file.to_string())).unwrap();
    }
    let admitted = spool.admit(vec![arrival(&spool, "large", &large)]).await.unwrap();
    assert_eq!(octets(&spool.open(admitted[0].message).await.unwrap()), large);
    assert_eq!(spool.lease_messages(2, NOW).await.unwrap().len(), 1);
}
