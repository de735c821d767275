//! What happened, in one total order: every operation on the spool's files, SQLite's too, and every event outside that
//! cannot be taken back. Owns the numbering of operations and the faults among them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroom_mail::{EffectId, MessageId};
use postroom_spool::disk::{Op, Refusal, Watch};
use rustix::io::Errno;

/// One line of the journal.
#[derive(Clone, Debug)]
pub enum Entry {
    /// On the disk.
    Disk(Act),
    /// Outside.
    World(Event),
}

/// An operation on the path, relative to the root.
#[derive(Clone, Debug)]
pub struct Act {
    /// The file or directory.
    pub path: PathBuf,
    /// What was done to it.
    pub what: What,
}

/// What was done. Of what failed only that is here which changed something.
#[derive(Clone, Debug)]
pub enum What {
    /// A new, empty file.
    Create,
    /// Octets at an offset.
    Write {
        /// Where.
        offset: usize,
        /// What.
        octets: Arc<[u8]>,
    },
    /// Synced.
    Sync,
    /// The sync failed: what was written before counts as clean, and may never reach the disk.
    SyncFailed,
    /// Cut or made longer.
    SetLen(usize),
    /// The name is gone.
    Remove,
    /// Another name.
    Rename(PathBuf),
    /// The names in it are synced.
    SyncDir,
    /// A new directory.
    MakeDir,
}

/// An event outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server removed this one of its messages.
    Removed(usize),
    /// A sink has an effect's content, or sent it once more.
    Delivered {
        /// Which sink.
        sink: usize,
        /// Which effect.
        effect: EffectId,
        /// Of which message.
        message: MessageId,
    },
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// One operation.
    Once,
    /// Every one until the host starts again.
    UntilRestart,
    /// Everything that needs room, until [`Journal::free`].
    UntilFreed,
}

/// Operations that fail, from the `from`-th on, counted from 0.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The first.
    pub from: usize,
    /// With which error.
    pub errno: Errno,
    /// How long.
    pub span: Span,
    /// Half of the octets of a write are written all the same.
    pub partial: bool,
}

#[derive(Default)]
struct State {
    root: PathBuf,
    entries: Vec<Entry>,
    operations: usize,
    fault: Option<Fault>,
    hit: bool,
    ended: bool,
}

/// The journal of one run.
#[derive(Default)]
pub struct Journal(Mutex<State>);

impl Journal {
    /// Operations below `root` are taken down from now on; those below an earlier one are not any more.
    pub fn follow(&self, root: &Path) {
        let mut state = self.state();
        state.root = root.to_owned();
        state.ended = false;
    }

    /// The process has ended: what is left of it changes nothing any more, and nothing is taken down, until
    /// [`Journal::follow`].
    pub fn end(&self) {
        self.state().ended = true;
    }

    /// Arms a fault.
    pub fn arm(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// Whether the fault was reached.
    pub fn hit(&self) -> bool {
        self.state().hit
    }

    /// The host starts again: what failed until then works.
    pub fn restarted(&self) {
        let mut state = self.state();
        if state.hit && state.fault.is_some_and(|fault| fault.span == Span::UntilRestart) {
            state.fault = None;
        }
    }

    /// What fails will go on failing until then.
    pub fn needs_a_restart(&self) -> bool {
        let state = self.state();
        state.hit && state.fault.is_some_and(|fault| fault.span == Span::UntilRestart)
    }

    /// There is room again.
    pub fn free(&self) {
        let mut state = self.state();
        if state.hit && state.fault.is_some_and(|fault| fault.span == Span::UntilFreed) {
            state.fault = None;
        }
    }

    /// Something happened outside.
    pub fn event(&self, event: Event) {
        self.state().entries.push(Entry::World(event));
    }

    /// How many operations there were.
    pub fn operations(&self) -> usize {
        self.state().operations
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether nothing happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All lines.
    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Journal {
    fn before(&self, path: &Path, op: &Op<'_>) -> Result<(), Refusal> {
        let mut state = self.state();
        let Ok(path) = path.strip_prefix(&state.root).map(Path::to_owned) else { return Ok(()) };
        if state.ended {
            return Err(Refusal { errno: Errno::IO.raw_os_error(), octets: 0 });
        }
        let number = state.operations;
        state.operations += 1;
        let refused = state.fault.filter(|fault| strikes(fault, number, op));
        state.hit |= refused.is_some();
        let refusal = refused.map(|fault| {
            let octets = match op {
                Op::Write { octets, .. } if fault.partial => octets.len() / 2,
                Op::Write { .. } | Op::Create | Op::Sync | Op::SetLen(_) | Op::Remove => 0,
                Op::Rename { .. } | Op::SyncDir | Op::MakeDir => 0,
            };
            Refusal { errno: fault.errno.raw_os_error(), octets }
        });
        if let Some(what) = taken_down(&state.root, op, refusal) {
            state.entries.push(Entry::Disk(Act { path, what }));
        }
        refusal.map_or(Ok(()), Err)
    }
}

fn strikes(fault: &Fault, number: usize, op: &Op<'_>) -> bool {
    match fault.span {
        Span::Once => number == fault.from,
        Span::UntilRestart => number >= fault.from,
        Span::UntilFreed => match op {
            Op::Create | Op::Write { .. } | Op::MakeDir => number >= fault.from,
            // Room that was promised is needed now.
            Op::Sync | Op::SyncDir | Op::SetLen(_) | Op::Rename { .. } => number == fault.from,
            Op::Remove => false,
        },
    }
}

/// What of an operation changes anything.
fn taken_down(root: &Path, op: &Op<'_>, refusal: Option<Refusal>) -> Option<What> {
    match (op, refusal) {
        (Op::Write { offset, octets }, refusal) => {
            let some = refusal.map_or(*octets, |refusal| &octets[..refusal.octets]);
            let offset = usize::try_from(*offset).unwrap();
            (refusal.is_none() || !some.is_empty()).then(|| What::Write { offset, octets: some.into() })
        }
        (Op::Sync, Some(_)) => Some(What::SyncFailed),
        (
            Op::Create | Op::SetLen(_) | Op::Remove | Op::Rename { .. } | Op::SyncDir | Op::MakeDir,
            Some(_),
        ) => None,
        (Op::Sync, None) => Some(What::Sync),
        (Op::Create, None) => Some(What::Create),
        (Op::SetLen(len), None) => Some(What::SetLen(usize::try_from(*len).unwrap())),
        (Op::Remove, None) => Some(What::Remove),
        (Op::Rename { to }, None) => Some(What::Rename(to.strip_prefix(root).unwrap().to_owned())),
        (Op::SyncDir, None) => Some(What::SyncDir),
        (Op::MakeDir, None) => Some(What::MakeDir),
    }
}
