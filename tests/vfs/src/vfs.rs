//! The VFS itself: opening and deleting files. Everything else is the unix VFS's, called through its own pointer.

use std::ffi::{CStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use postroom_spool::disk::Op;
use rusqlite::ffi;

use crate::file::{self, File, METHODS};
use crate::{code, watch_of};

/// What the VFS is called.
pub const NAME: &str = "postroom-watched";
const NAME_C: &CStr = c"postroom-watched";

/// Makes the VFS known to SQLite under [`NAME`], once in a process.
///
/// # Panics
/// When SQLite has no VFS of its own, or does not take another.
#[allow(clippy::expect_used, reason = "no test could run without it")]
pub fn register() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // SAFETY: a null name asks for the default; the answer lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!real.is_null(), "SQLite has a default VFS");
        // SAFETY: it is not null and nobody changes it after SQLite's start.
        let ours = ffi::sqlite3_vfs { ..unsafe { *real } };
        let size = c_int::try_from(size_of::<File>()).expect("a small struct");
        let ours = Box::leak(Box::new(ffi::sqlite3_vfs {
            szOsFile: size + ours.szOsFile,
            pNext: std::ptr::null_mut(),
            zName: NAME_C.as_ptr(),
            pAppData: real.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xCurrentTimeInt64: Some(current_time_int64),
            xGetLastError: Some(last_error),
            ..ours
        }));
        // SAFETY: it is leaked, so it outlives every use, and its functions keep SQLite's contract.
        let code = unsafe { ffi::sqlite3_vfs_register(ours, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the VFS");
    });
}

/// The VFS that does the work.
///
/// # Safety
/// `vfs` is ours.
unsafe fn real(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: by the caller's word it is the one made by `register`.
    unsafe { (*vfs).pAppData.cast() }
}

/// # Safety
/// `name` is null or a C string that lives long enough.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: by the caller's word.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes our VFS, `szOsFile` octets at `out`, and null or a C string that lives as long as the file.
    unsafe {
        let file = out.cast::<File>();
        (*file).base.pMethods = std::ptr::null();
        let path = path(name);
        let watch = path.and_then(watch_of);
        let fresh = path.is_some_and(|path| flags & ffi::SQLITE_OPEN_CREATE != 0 && !path.exists());
        if let (Some(watch), Some(path), true) = (&watch, path, fresh)
            && let Err(refusal) = watch.before(path, &Op::Create)
        {
            return code(&Op::Create, refusal);
        }
        let inner = file::inner(out);
        let real = real(vfs);
        let Some(act) = (*real).xOpen else { return ffi::SQLITE_INTERNAL };
        let done = act(real, name, inner, flags, out_flags);
        if done == ffi::SQLITE_OK {
            let log = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
            let told = watch.zip(path).map(|(watch, path)| file::Told {
                watch,
                path: path.to_owned(),
                // As the unix VFS: the name of a new log is synced with its first octets.
                name_unsynced: fresh && flags & log != 0,
            });
            (*file).told = Box::into_raw(Box::new(told));
            (*file).base.pMethods = &raw const METHODS;
        }
        done
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite passes our VFS and a C string.
    unsafe {
        let real = real(vfs);
        let Some(act) = (*real).xDelete else { return ffi::SQLITE_INTERNAL };
        let path = path(name).filter(|path| path.exists());
        let Some((watch, path)) = path.and_then(watch_of).zip(path) else { return act(real, name, sync) };
        if let Err(refusal) = watch.before(path, &Op::Remove) {
            return code(&Op::Remove, refusal);
        }
        let done = act(real, name, sync);
        if done == ffi::SQLITE_OK
            && sync != 0
            && let Some(above) = path.parent()
            && let Err(refusal) = watch.before(above, &Op::SyncDir)
        {
            return code(&Op::SyncDir, refusal);
        }
        done
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xAccess.map_or(ffi::SQLITE_INTERNAL, |act| act(real, name, flags, out))
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xFullPathname.map_or(ffi::SQLITE_INTERNAL, |act| act(real, name, len, out))
    }
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xRandomness.map_or(0, |act| act(real, len, out))
    }
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xSleep.map_or(0, |act| act(real, microseconds))
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xCurrentTime.map_or(ffi::SQLITE_ERROR, |act| act(real, out))
    }
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xCurrentTimeInt64.map_or(ffi::SQLITE_ERROR, |act| act(real, out))
    }
}

unsafe extern "C" fn last_error(vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let real = real(vfs);
        (*real).xGetLastError.map_or(0, |act| act(real, len, out))
    }
}
