//! Pulling over HTTP from a registry on loopback that answers as it is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use postroom_mail::Digest;
use postroom_oci::{Error, Layout, Login, Plugin, Registry, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Paths and what they answer: a status and octets.
type Answers = HashMap<String, (u16, Vec<u8>)>;

/// A registry for one test, with the manifest and the blobs of a layout; `change` spoils its answers.
async fn registry(
    layout: &Layout,
    directory: &std::path::Path,
    digest: &Digest,
    change: fn(&mut Answers),
) -> String {
    layout.read(digest).unwrap();
    let mut answers = Answers::new();
    for blob in std::fs::read_dir(directory.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let (name, octets) = (blob.file_name().into_string().unwrap(), std::fs::read(blob.path()).unwrap());
        let kind = if name == digest.to_string() { "manifests" } else { "blobs" };
        answers.insert(format!("/v2/team/receipts/{kind}/sha256:{name}"), (200, octets));
    }
    change(&mut answers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut octet = [0];
                    if stream.read(&mut octet).await.unwrap_or(0) == 0 {
                        return;
                    }
                    asked.push(octet[0]);
                }
                let path = String::from_utf8_lossy(&asked).split(' ').nth(1).unwrap_or_default().to_owned();
                // What an anonymous client asks first.
                let known =
                    if path == "/v2/" { Some((200, Vec::new())) } else { answers.get(&path).cloned() };
                let (status, octets) = known.unwrap_or((404, b"{}".to_vec()));
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    octets.len()
                );
                let _ = stream.write_all(&[head.into_bytes(), octets].concat()).await;
            });
        }
    });
    host
}

async fn pull(change: fn(&mut Answers)) -> Result<Plugin, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let there = tempfile::tempdir().unwrap();
    let plugin = Plugin { component: b"\0asm component".to_vec(), signature: Some("signature".to_owned()) };
    let layout = Layout::at(there.path());
    let digest = layout.write(&plugin).unwrap();
    let host = registry(&layout, there.path(), &digest, change).await;
    let here = tempfile::tempdir().unwrap();
    let kept = Layout::at(here.path());
    let login = Some(Login { user: "me".to_owned(), password: "word".to_owned() });
    let registry = Registry::new(&host, login, &Trust { authority: None, plaintext: true })?;
    let pulled = registry.pull("team/receipts", &digest, &kept).await?;
    assert_eq!(pulled, plugin);
    assert_eq!(kept.read(&digest).unwrap(), plugin, "it need not be asked for again");
    Ok(pulled)
}

#[tokio::test]
async fn a_plugin_is_pulled_whole_and_kept() {
    pull(|_| {}).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let missing = pull(|answers| answers.retain(|path, _| path.contains("blobs"))).await.unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    let missing = pull(|answers| answers.retain(|path, _| path.contains("manifests"))).await.unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
}

#[tokio::test]
async fn octets_that_the_digest_does_not_name_are_refused() {
    for kind in ["manifests", "blobs"] {
        let changed = match kind {
            "manifests" => pull(|answers| spoil(answers, "manifests")).await,
            _ => pull(|answers| spoil(answers, "blobs")).await,
        };
        let changed = changed.unwrap_err();
        assert!(matches!(changed, Error::Changed { .. }), "{kind}: {changed}");
    }
}

fn spoil(answers: &mut Answers, kind: &str) {
    for (_, (_, octets)) in answers.iter_mut().filter(|(path, _)| path.contains(kind)) {
        octets.push(b' ');
    }
}

#[tokio::test]
async fn a_registry_that_refuses_or_fails_is_told_apart() {
    let refused =
        pull(|answers| answers.values_mut().for_each(|answer| *answer = (401, b"{}".to_vec()))).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }) && !refused.is_passing(), "{refused}");
    assert!(!refused.to_string().contains("word"), "{refused}");
    let failed =
        pull(|answers| answers.values_mut().for_each(|answer| *answer = (500, b"oops".to_vec()))).await;
    let failed = failed.unwrap_err();
    assert!(matches!(failed, Error::Unreachable { .. }) && failed.is_passing(), "{failed}");
}
