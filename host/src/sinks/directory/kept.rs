//! Reading back what lies in the tree. Follows no symbolic link; changes nothing.

use std::io::Read as _;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::{Directory, Shared};
use crate::sinks::error::Fault;
use crate::sinks::publish::{self, Dir, Owner};
use crate::sinks::{OURS, blocking, parts};

/// So many octets are read at once.
const BLOCK: usize = 256 * 1024;
/// Directories nested deeper than any key are not walked.
const DEEPEST: usize = 500;

impl Directory {
    /// The octets under a key; `None` when there are none.
    pub(in crate::sinks) async fn open(
        &self,
        key: &str,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Fault>>>, Fault> {
        let (shared, key) = (self.shared.clone(), key.to_owned());
        let shown = shared.root.join(&key).display().to_string();
        let Some(file) = blocking(move || shared.look(&key)).await? else { return Ok(None) };
        let blocks = stream::try_unfold((file, shown), |(mut file, shown)| async move {
            blocking(move || {
                let mut block = vec![0; BLOCK];
                match file.read(&mut block).map_err(|error| publish::fault(&shown, error))? {
                    0 => Ok(None),
                    read => {
                        block.truncate(read);
                        Ok(Some((Bytes::from(block), (file, shown))))
                    }
                }
            })
            .await
        });
        Ok(Some(blocks.boxed()))
    }

    /// Every key in the tree, but for the host's own.
    pub(in crate::sinks) fn keys(&self) -> BoxStream<'static, Result<String, Fault>> {
        let shared = self.shared.clone();
        let walk = stream::try_unfold(vec![String::new()], move |mut waiting| {
            let shared = shared.clone();
            async move {
                let Some(directory) = waiting.pop() else { return Ok(None) };
                blocking(move || {
                    let mut keys = Vec::new();
                    for (name, is_directory) in shared.names(&directory)? {
                        let ours = directory.is_empty() && name == OURS;
                        let path =
                            if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                        match is_directory {
                            true if ours || path.matches('/').count() > DEEPEST => {}
                            true => waiting.push(path),
                            // Temporary files of deliveries under way.
                            false if name.starts_with(".postroom-") && name.ends_with(".tmp") => {}
                            false => keys.push(Ok(path)),
                        }
                    }
                    Ok(Some((stream::iter(keys), waiting)))
                })
                .await
            }
        });
        walk.flat_map(|keys| match keys {
            Ok(keys) => keys.boxed(),
            Err(fault) => stream::iter([Err(fault)]).boxed(),
        })
        .boxed()
    }
}

impl Shared {
    fn look(&self, key: &str) -> Result<Option<std::fs::File>, Fault> {
        let mut parts = parts(key)?;
        let name = parts.pop().unwrap_or_default();
        let shown = self.root.join(key).display().to_string();
        let look = || {
            let mut dir = Dir::there(&self.root, Owner::Directory)?;
            for part in parts {
                match dir.open(part)? {
                    Some(below) => dir = below,
                    None => return Ok(None),
                }
            }
            dir.file(name)
        };
        look().map_err(|error| publish::fault(&shown, error))
    }

    fn names(&self, directory: &str) -> Result<Vec<(String, bool)>, Fault> {
        let shown = self.root.join(directory).display().to_string();
        let names = || {
            let mut dir = Dir::there(&self.root, Owner::Directory)?;
            for part in directory.split('/').filter(|part| !part.is_empty()) {
                match dir.open(part)? {
                    Some(below) => dir = below,
                    // It went away meanwhile.
                    None => return Ok(Vec::new()),
                }
            }
            dir.names()
        };
        names().map_err(|error| publish::fault(&shown, error))
    }
}
