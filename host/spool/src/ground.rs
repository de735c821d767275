//! What kind of file system a state directory is on, where that is one that does not keep what is synced, or not for long.

use std::path::Path;

/// A file system that a state does not belong on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// tmpfs, ramfs.
    Memory,
    /// An overlay, as containers have.
    Overlay,
    /// NFS, SMB and their like.
    Network,
    /// FUSE, behind which anything may be.
    User,
}

impl Ground {
    /// Of this directory; `None` where nothing speaks against it, or the system does not say.
    pub fn of(state: &Path) -> Option<Self> {
        Self::by_magic(u64::try_from(rustix::fs::statfs(state).ok()?.f_type).ok()? & 0xffff_ffff)
    }

    /// By the magic numbers of statfs(2).
    fn by_magic(magic: u64) -> Option<Self> {
        match magic {
            0x0102_1994 | 0x8584_58f6 => Some(Self::Memory),
            0x794c_7630 => Some(Self::Overlay),
            0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x0102_1997 | 0x5346_414f | 0x00c3_6400 => {
                Some(Self::Network)
            }
            0x6573_5546 => Some(Self::User),
            _ => None,
        }
    }

    /// What it is, and what that means for mail.
    pub fn words(self) -> &'static str {
        match self {
            Self::Memory => {
                "a memory file system: a restart of the machine loses mail that is on its way and what was seen"
            }
            Self::Overlay => {
                "an overlay, as in a container: it is deleted together with the container; mount a volume there"
            }
            Self::Network => {
                "a network file system: locks and syncs may not hold there, and a lost connection stops everything; use a local disk"
            }
            Self::User => "a FUSE file system: whether its fsync reaches a disk, nobody here can tell",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_in_memory_or_on_the_network_is_warned_of_and_a_local_disk_is_not() {
        for (magic, ground) in
            [(0x0102_1994, Ground::Memory), (0x6969, Ground::Network), (0x794c_7630, Ground::Overlay)]
        {
            assert_eq!(Ground::by_magic(magic), Some(ground), "{magic:x}");
        }
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(Ground::by_magic(local), None, "{local:x}");
        }
    }
}
