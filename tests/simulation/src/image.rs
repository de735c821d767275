//! A file system as a crash leaves it. Owns what is in the cache and what is on the disk: octets are on the disk after a
//! sync of their file, names after a sync of their directory, and nothing else is promised.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::{Act, Entry, What};
use crate::random::Random;

/// What a disk keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Everything: the process was killed.
    Kept,
    /// Nothing: the power was cut before any of it was written.
    Dropped,
    /// Everything, but for the end of the last write, from this octet of it on.
    Torn(usize),
    /// Some of it, by this seed, in any combination.
    Reordered(u64),
}

/// Octets of a sector, which is written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, octets: Arc<[u8]> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { offset, octets } => {
                let end = offset + octets.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*offset..end].copy_from_slice(octets);
            }
            Self::SetLen(len) => data.resize(*len, 0),
        }
    }

    /// As some of its sectors arrived.
    fn apply_some(&self, data: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { offset, octets } = self else { return self.apply(data) };
        let mut at = 0;
        while at < octets.len() {
            let end = octets.len().min(at + SECTOR - (offset + at) % SECTOR);
            if random.toss() {
                Self::Write { offset: offset + at, octets: octets[at..end].into() }.apply(data);
            }
            at = end;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    stored: Vec<u8>,
    pending: Vec<Change>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    fn store(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.stored);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

/// The disk at one moment of a journal.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    cached: Names,
    stored: Names,
    /// What a failed sync was for is lost.
    failed_is_lost: bool,
}

/// What a crash leaves: directories, and files with their octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    directories: Vec<PathBuf>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Disk {
    /// An empty one. Whether what a failed sync was for never reaches it, or does all the same.
    #[must_use]
    pub fn new(failed_is_lost: bool) -> Self {
        Self { failed_is_lost, ..Self::default() }
    }

    /// After these lines of a journal.
    #[must_use]
    pub fn after(entries: &[Entry], failed_is_lost: bool) -> Self {
        let mut disk = Self::new(failed_is_lost);
        entries.iter().for_each(|entry| disk.take(entry));
        disk
    }

    /// One line more.
    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Disk(act) => self.act(act),
            Entry::World(_) => {}
        }
    }

    fn act(&mut self, Act { path, what }: &Act) {
        match what {
            What::Create => {
                self.cached.insert(path.clone(), Node::File(self.inodes.len()));
                self.inodes.push(Inode::default());
            }
            What::Write { offset, octets } => {
                self.file(path).change(Change::Write { offset: *offset, octets: Arc::clone(octets) });
            }
            What::SetLen(len) => self.file(path).change(Change::SetLen(*len)),
            What::Sync => self.file(path).store(),
            What::SyncFailed if self.failed_is_lost => self.file(path).pending.clear(),
            What::SyncFailed => self.file(path).store(),
            What::Remove => drop(self.cached.remove(path)),
            What::Rename(to) => {
                let node = self.cached.remove(path).expect("what is renamed is there");
                self.cached.insert(to.clone(), node);
            }
            What::SyncDir => {
                let within = |name: &Path| name.parent() == Some(path);
                self.stored.retain(|name, _| !within(name));
                let names = self.cached.iter().filter(|(name, _)| within(name));
                self.stored.extend(names.map(|(name, node)| (name.clone(), *node)));
            }
            What::MakeDir => drop(self.cached.insert(path.clone(), Node::Directory)),
        }
    }

    /// What an operation on an open file goes to. One whose name was taken away meanwhile, as SQLite's last reader takes its
    /// log away, is nobody's any more.
    fn file(&mut self, path: &Path) -> &mut Inode {
        let inode = match self.cached.get(path) {
            Some(Node::File(inode)) => *inode,
            Some(Node::Directory) => panic!("{} is a directory", path.display()),
            None => {
                self.inodes.push(Inode::default());
                self.inodes.len() - 1
            }
        };
        &mut self.inodes[inode]
    }

    /// Where the last write may be torn: at each sector of its file.
    #[must_use]
    pub fn tears(entry: &Entry) -> Vec<usize> {
        match entry {
            Entry::Disk(Act { what: What::Write { offset, octets }, .. }) => {
                (1..octets.len()).filter(|at| (offset + at).is_multiple_of(SECTOR)).collect()
            }
            Entry::Disk(_) | Entry::World(_) => Vec::new(),
        }
    }

    /// What a crash leaves right after `last`, which this disk has not taken yet.
    #[must_use]
    pub fn crash(&self, last: &Entry, model: Model) -> Self {
        let mut disk = self.clone();
        match (last, model) {
            (Entry::Disk(Act { path, what: What::Write { offset, octets } }), Model::Torn(at)) => {
                disk.file(path).change(Change::Write { offset: *offset, octets: octets[..at].into() });
            }
            _ => disk.take(last),
        }
        let image = match model {
            // The cache outlives a process, and what is in it is still not on the disk.
            Model::Kept => return disk,
            Model::Torn(_) => disk.seen(),
            Model::Dropped => disk.image(&disk.stored, |inode| inode.stored.clone()),
            Model::Reordered(seed) => disk.reordered(&mut Random::new(seed, 4)),
        };
        Self::from_image(&image, self.failed_is_lost)
    }

    /// What a process finds.
    #[must_use]
    pub fn seen(&self) -> Image {
        self.image(&self.cached, |inode| inode.cached.clone())
    }

    fn reordered(&self, random: &mut Random) -> Image {
        let whole = random.toss();
        let names: BTreeSet<_> = self.cached.keys().chain(self.stored.keys()).collect();
        let mut survived = Names::new();
        for name in names {
            let from = if random.toss() { &self.cached } else { &self.stored };
            survived.extend(from.get(name).map(|node| (name.clone(), *node)));
        }
        let seed = random.number();
        let some = RefCell::new(Random::new(seed, 5));
        self.image(&survived, |inode| {
            let mut data = inode.stored.clone();
            let mut random = some.borrow_mut();
            for change in &inode.pending {
                match (whole, random.toss()) {
                    (true, true) => change.apply(&mut data),
                    (true, false) => {}
                    (false, true) => change.apply_some(&mut data, &mut random),
                    (false, false) => {}
                }
            }
            data
        })
    }

    fn image(&self, names: &Names, octets: impl Fn(&Inode) -> Vec<u8>) -> Image {
        let mut image = Image::default();
        for (name, node) in names {
            // What lies in a directory whose own name is lost is lost with it.
            let mut above = name.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            if !above.all(|above| names.get(above) == Some(&Node::Directory)) {
                continue;
            }
            match node {
                Node::Directory => image.directories.push(name.clone()),
                Node::File(inode) => image.files.push((name.clone(), octets(&self.inodes[*inode]))),
            }
        }
        image
    }

    /// All of it is on the disk.
    fn from_image(image: &Image, failed_is_lost: bool) -> Self {
        let mut disk = Self::new(failed_is_lost);
        for directory in &image.directories {
            disk.cached.insert(directory.clone(), Node::Directory);
        }
        for (name, octets) in &image.files {
            disk.cached.insert(name.clone(), Node::File(disk.inodes.len()));
            let (cached, stored) = (octets.clone(), octets.clone());
            disk.inodes.push(Inode { cached, stored, pending: Vec::new() });
        }
        disk.stored = disk.cached.clone();
        disk
    }
}

impl Image {
    /// Makes it real below `root`.
    pub fn write(&self, root: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (name, octets) in &self.files {
            fs::write(root.join(name), octets).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(path: &str, what: What) -> Entry {
        Entry::Disk(Act { path: path.into(), what })
    }

    fn write(path: &str, offset: usize, octets: &[u8]) -> Entry {
        act(path, What::Write { offset, octets: octets.into() })
    }

    fn found(entries: &[Entry], model: Model, lost: bool) -> Vec<(PathBuf, Vec<u8>)> {
        let (last, before) = entries.split_last().unwrap();
        Disk::after(before, lost).crash(last, model).seen().files
    }

    #[test]
    fn names_and_octets_are_lost_without_their_own_sync() {
        let mut entries = vec![act("a", What::Create), write("a", 0, b"one"), act("a", What::Sync)];
        assert_eq!(found(&entries, Model::Dropped, true), [], "its name was not synced");
        entries.extend([act("", What::SyncDir), write("a", 3, b"two"), act("b", What::Create)]);
        assert_eq!(found(&entries, Model::Dropped, true), [("a".into(), b"one".to_vec())]);
        entries.push(act("a", What::Remove));
        assert_eq!(found(&entries, Model::Dropped, true), [("a".into(), b"one".to_vec())], "it comes back");
        assert_eq!(found(&entries, Model::Kept, true), [("b".into(), Vec::new())]);
    }

    #[test]
    fn what_a_failed_sync_was_for_is_not_saved_by_a_later_one() {
        let entries = [
            act("a", What::Create),
            act("", What::SyncDir),
            write("a", 0, b"one"),
            act("a", What::SyncFailed),
            write("a", 3, b"two"),
            act("a", What::Sync),
        ];
        assert_eq!(found(&entries, Model::Dropped, true), [("a".into(), b"\0\0\0two".to_vec())]);
        assert_eq!(found(&entries, Model::Dropped, false), [("a".into(), b"onetwo".to_vec())]);
        assert_eq!(
            found(&entries, Model::Kept, true),
            [("a".into(), b"onetwo".to_vec())],
            "the cache has it"
        );
    }

    #[test]
    fn the_last_write_is_torn_between_sectors() {
        let entries = [act("a", What::Create), write("a", 500, &[7; 600])];
        assert_eq!(Disk::tears(&entries[1]), [12, 524]);
        let [(_, octets)] = &found(&entries, Model::Torn(12), true)[..] else { panic!("one file") };
        assert_eq!(octets.len(), 512);
    }
}
