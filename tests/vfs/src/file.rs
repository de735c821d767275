//! One open file: what is written, cut and synced is told first. Reads, locks and shared memory go straight through.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::Arc;

use postroom_spool::disk::{Op, Watch};
use rusqlite::ffi;

use crate::code;

/// In SQLite's memory: this, and right behind it the file of the real VFS.
#[repr(C)]
pub(crate) struct File {
    pub(crate) base: ffi::sqlite3_file,
    /// A box; `None` inside when nobody watches.
    pub(crate) told: *mut Option<Told>,
}

/// Who is told, and of which file.
pub(crate) struct Told {
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) path: PathBuf,
    /// Its name in the directory was not synced yet.
    pub(crate) name_unsynced: bool,
}

type Handle = *mut ffi::sqlite3_file;

/// The file of the real VFS.
///
/// # Safety
/// `file` points to as many octets as our VFS asks for.
pub(crate) unsafe fn inner(file: Handle) -> Handle {
    // SAFETY: by the caller's word it lies in the same allocation; two pointers keep it aligned.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// The methods of the real file.
///
/// # Safety
/// `file` was opened by our VFS.
unsafe fn methods(file: Handle) -> *const ffi::sqlite3_io_methods {
    // SAFETY: it is open, so the real VFS set its methods.
    unsafe { (*inner(file)).pMethods }
}

/// # Safety
/// `file` was opened by our VFS and is not closed; SQLite uses it from one thread at a time.
unsafe fn told<'a>(file: Handle) -> Option<&'a mut Told> {
    // SAFETY: the box lives until the file is closed.
    unsafe { (*(*file.cast::<File>()).told).as_mut() }
}

pub(crate) static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Without the third version's memory maps, which would be written without a word.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn write(file: Handle, octets: *const c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite passes a file of ours and `len` octets.
    unsafe {
        let Some(act) = (*methods(file)).xWrite else { return ffi::SQLITE_INTERNAL };
        if let Some(told) = told(file) {
            let len = usize::try_from(len).unwrap_or(0);
            let slice = std::slice::from_raw_parts(octets.cast::<u8>(), len);
            let op = Op::Write { offset: u64::try_from(offset).unwrap_or(0), octets: slice };
            if let Err(refusal) = told.watch.before(&told.path, &op) {
                let some = c_int::try_from(refusal.octets.min(len)).unwrap_or(0);
                if some > 0 {
                    act(inner(file), octets, some, offset);
                }
                return code(&op, refusal);
            }
        }
        act(inner(file), octets, len, offset)
    }
}

unsafe extern "C" fn truncate(file: Handle, size: i64) -> c_int {
    // SAFETY: SQLite passes a file of ours.
    unsafe {
        let Some(act) = (*methods(file)).xTruncate else { return ffi::SQLITE_INTERNAL };
        let op = Op::SetLen(u64::try_from(size).unwrap_or(0));
        if let Some(told) = told(file)
            && let Err(refusal) = told.watch.before(&told.path, &op)
        {
            return code(&op, refusal);
        }
        act(inner(file), size)
    }
}

unsafe extern "C" fn sync(file: Handle, flags: c_int) -> c_int {
    // SAFETY: SQLite passes a file of ours.
    unsafe {
        let Some(act) = (*methods(file)).xSync else { return ffi::SQLITE_INTERNAL };
        if let Some(told) = told(file) {
            if let Err(refusal) = told.watch.before(&told.path, &Op::Sync) {
                return code(&Op::Sync, refusal);
            }
            if told.name_unsynced {
                told.name_unsynced = false;
                if let Some(above) = told.path.parent()
                    && let Err(refusal) = told.watch.before(above, &Op::SyncDir)
                {
                    return code(&Op::SyncDir, refusal);
                }
            }
        }
        act(inner(file), flags)
    }
}

unsafe extern "C" fn close(file: Handle) -> c_int {
    // SAFETY: SQLite passes a file of ours, for the last time; the box was made when it was opened.
    unsafe {
        drop(Box::from_raw((*file.cast::<File>()).told));
        (*methods(file)).xClose.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file)))
    }
}

unsafe extern "C" fn read(file: Handle, out: *mut c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xRead.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), out, len, offset)) }
}

unsafe extern "C" fn file_size(file: Handle, out: *mut i64) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xFileSize.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), out)) }
}

unsafe extern "C" fn lock(file: Handle, level: c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xLock.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), level)) }
}

unsafe extern "C" fn unlock(file: Handle, level: c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xUnlock.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), level)) }
}

unsafe extern "C" fn check_reserved_lock(file: Handle, out: *mut c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xCheckReservedLock.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), out)) }
}

unsafe extern "C" fn file_control(file: Handle, op: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xFileControl.map_or(ffi::SQLITE_NOTFOUND, |act| act(inner(file), op, arg)) }
}

unsafe extern "C" fn sector_size(file: Handle) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xSectorSize.map_or(4096, |act| act(inner(file))) }
}

unsafe extern "C" fn device_characteristics(file: Handle) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xDeviceCharacteristics.map_or(0, |act| act(inner(file))) }
}

unsafe extern "C" fn shm_map(
    file: Handle,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let act = (*methods(file)).xShmMap;
        act.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), page, size, extend, out))
    }
}

unsafe extern "C" fn shm_lock(file: Handle, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        let act = (*methods(file)).xShmLock;
        act.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), offset, count, flags))
    }
}

unsafe extern "C" fn shm_barrier(file: Handle) {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe {
        if let Some(act) = (*methods(file)).xShmBarrier {
            act(inner(file));
        }
    }
}

unsafe extern "C" fn shm_unmap(file: Handle, delete: c_int) -> c_int {
    // SAFETY: SQLite's own arguments go to its own VFS.
    unsafe { (*methods(file)).xShmUnmap.map_or(ffi::SQLITE_INTERNAL, |act| act(inner(file), delete)) }
}
