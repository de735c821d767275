//! Reading back what lies in the bucket, and the copies of days of the manifest that are put there.

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use super::{PROBE, S3};
use crate::sinks::OURS;
use crate::sinks::error::Fault;

impl S3 {
    /// The octets under a key; `None` when there are none.
    pub(in crate::sinks) async fn open(
        &self,
        key: &str,
    ) -> Result<Option<BoxStream<'_, Result<Bytes, Fault>>>, Fault> {
        let path = self.path(key)?;
        match self.store.get(&path).await {
            Ok(got) => {
                let blocks = got.into_stream();
                Ok(Some(blocks.map_err(move |error| self.fault(&path, &error)).boxed()))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(&path, &error)),
        }
    }

    /// Every key below the prefix, but for the host's own.
    pub(in crate::sinks) fn keys(&self) -> BoxStream<'_, Result<String, Fault>> {
        let prefix = match self.prefix.as_str() {
            "" => None,
            prefix => ObjectPath::parse(prefix).ok(),
        };
        let listed = self.store.list(prefix.as_ref());
        let below = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let keys = listed.filter_map(move |listed| {
            let key = match listed {
                Ok(meta) => {
                    let path = meta.location.as_ref();
                    let key = path.strip_prefix(&below).unwrap_or(path);
                    let ours = key == PROBE || key.split('/').next() == Some(OURS);
                    (!ours).then(|| Ok(key.to_owned()))
                }
                Err(error) => Some(Err(self.fault(&ObjectPath::default(), &error))),
            };
            futures::future::ready(key)
        });
        keys.boxed()
    }

    /// Puts a file of the manifest into the bucket, once. Whether what lies there is that file.
    pub(in crate::sinks) async fn put_once(&self, key: &str, octets: Vec<u8>) -> Result<bool, Fault> {
        let path = self.path(key)?;
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(octets.clone());
        match self.store.put_opts(&path, payload, options).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => {
                let got = self.store.get(&path).await.map_err(|error| self.fault(&path, &error))?;
                let there = got.bytes().await.map_err(|error| self.fault(&path, &error))?;
                Ok(there == octets)
            }
            Err(error) => Err(self.fault(&path, &error)),
        }
    }
}
