//! Where verbs that keep no state find plugins compiled: in the state of a configuration when it is there, else in the
//! user's own cache. Compiling one that brings an interpreter along takes many seconds.
//!
//! What lies there is run as machine code: a directory that another user could write to, or put another one in the place of,
//! is not used.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The cache of a state directory, when both are the user's alone, or else the user's own. Nothing is made in the state.
pub(super) fn beside(state: &Path) -> Option<PathBuf> {
    let own = state.join("compiled");
    if own.is_dir() && private(state) && private(&own) { Some(own) } else { of_user() }
}

/// `postroom/compiled` where the user's caches are (XDG Base Directory Specification). `None` when it cannot be made, or is
/// not the user's alone: then each run compiles anew.
pub(super) fn of_user() -> Option<PathBuf> {
    let caches = caches(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))?;
    in_caches(&caches)
}

/// A path that is not absolute counts as none.
fn caches(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg.and_then(absolute).or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))
}

/// Whoever can write to the directory above can rename ours and put his own there.
fn in_caches(caches: &Path) -> Option<PathBuf> {
    let above = caches.join("postroom");
    let directory = above.join("compiled");
    (private(&above) && private(&directory)).then_some(directory)
}

/// Makes it where it is missing, and says whether nobody else can write to it.
fn private(directory: &Path) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    // Not through a link: whoever made the link could turn it.
    made.is_ok()
        && fs::symlink_metadata(directory).is_ok_and(|found| {
            found.is_dir()
                && found.uid() == rustix::process::geteuid().as_raw()
                && found.mode() & WRITABLE_BY_OTHERS == 0
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_cache_is_where_the_users_caches_are() {
        let of = |xdg: Option<&str>, home: Option<&str>| caches(xdg.map(Into::into), home.map(Into::into));
        assert_eq!(of(Some("/caches"), Some("/home/me")), Some("/caches".into()));
        assert_eq!(of(None, Some("/home/me")), Some("/home/me/.cache".into()));
        assert_eq!(of(Some("caches"), Some("/home/me")), Some("/home/me/.cache".into()));
        assert_eq!(of(Some(""), None), None);
    }

    #[test]
    fn a_cache_that_others_could_write_to_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("postroom/compiled");
        assert!(private(&directory), "it is made");
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        let link = base.path().join("link");
        symlink(&directory, &link).unwrap();
        assert!(!private(&link), "a link");
        fs::set_permissions(&directory, Permissions::from_mode(0o770)).unwrap();
        assert!(!private(&directory), "the group writes");
        fs::write(base.path().join("file"), "").unwrap();
        assert!(!private(&base.path().join("file/compiled")), "it cannot be made");
    }

    #[test]
    fn a_cache_whose_directory_others_could_change_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(in_caches(base.path()), Some(base.path().join("postroom/compiled")));
        fs::set_permissions(base.path().join("postroom"), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(in_caches(base.path()), None);
    }
}
