//! Checks of the implementations: both against the suite, one against the other, and the embedded one against crashes.

mod conformity;
mod crash;
mod damage;
mod disk;
mod mend;
mod random;
mod restore;

use crate::sqlite::Sizes;

/// A directory nobody else can look into, as a state has to be.
fn fresh() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    private(dir.path());
    dir
}

fn private(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// Copies files as they are at this moment.
fn image(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    private(to);
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            image(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Small segments, so that there are many.
fn rolling_at(roll_at: u64) -> Sizes {
    Sizes { roll_at, ..Sizes::default() }
}
