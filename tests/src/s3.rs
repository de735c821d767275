//! An S3 server in this process, its objects plain files in a directory.
//!
//! Owns one bucket, one key pair, the record of requests and the faults it commits. Must not listen beyond loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::HarnessError;

/// The bucket that exists.
pub const BUCKET: &str = "archive";
/// The access key that is known.
pub const ACCESS_KEY: &str = "practice-key";
/// Its secret.
pub const SECRET_KEY: &str = "practice-secret";

/// A running S3 server with path-style addresses over plain HTTP; stops when dropped. The directory stays.
#[derive(Debug)]
pub struct S3Server {
    addr: SocketAddr,
    bucket: PathBuf,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One request that came and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Request {
    /// `PUT`, `GET`, ...
    pub method: String,
    /// The path, bucket first, as on the wire.
    pub path: String,
    /// The status answered.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<S3Request>>,
    refusals: Mutex<Refusals>,
}

#[derive(Debug, Default)]
struct Refusals {
    left: u32,
    status: u16,
}

impl S3Server {
    /// Serves a directory, which must exist, from an ephemeral port, with [`BUCKET`] made in it.
    ///
    /// # Errors
    /// [`HarnessError::File`] or [`HarnessError::Io`] if the directory or loopback cannot be used.
    pub async fn start(root: &Path) -> Result<Self, HarnessError> {
        let bucket = root.join(BUCKET);
        std::fs::create_dir_all(&bucket)
            .map_err(|source| HarnessError::File { path: bucket.clone(), source })?;
        let files = FileSystem::new(root).map_err(|error| HarnessError::File {
            path: root.to_owned(),
            source: std::io::Error::other(format!("{error:?}")),
        })?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listening = |source| HarnessError::Io { doing: "listening on 127.0.0.1", source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listening)?;
        let addr = listener.local_addr().map_err(listening)?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, service, Arc::clone(&shared)));
        Ok(Self { addr, bucket, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint, e.g. `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The keys of all objects, sorted, straight from the disk.
    ///
    /// # Errors
    /// [`HarnessError::File`] if the directory cannot be read.
    pub fn keys(&self) -> Result<Vec<String>, HarnessError> {
        let mut keys = Vec::new();
        let mut waiting = vec![self.bucket.clone()];
        while let Some(directory) = waiting.pop() {
            let failed = |source| HarnessError::File { path: directory.clone(), source };
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                match path.strip_prefix(&self.bucket) {
                    _ if path.is_dir() => waiting.push(path),
                    Ok(key) => keys.push(key.to_string_lossy().into_owned()),
                    Err(_) => {}
                }
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// An object's octets straight from the disk, or `None` if there is none.
    ///
    /// # Errors
    /// [`HarnessError::File`] if it cannot be read.
    pub fn object(&self, key: &str) -> Result<Option<Vec<u8>>, HarnessError> {
        let path = self.bucket.join(key);
        match std::fs::read(&path) {
            Ok(octets) => Ok(Some(octets)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HarnessError::File { path, source }),
        }
    }

    /// Every request so far, in the order of the answers.
    #[must_use]
    pub fn requests(&self) -> Vec<S3Request> {
        lock(&self.shared.requests).clone()
    }

    /// How many `PUT` requests succeeded for a key.
    #[must_use]
    pub fn puts(&self, key: &str) -> usize {
        let path = format!("/{BUCKET}/{key}");
        let put =
            |request: &&S3Request| request.method == "PUT" && request.path == path && request.status == 200;
        lock(&self.shared.requests).iter().filter(put).count()
    }

    /// Answers the next so many requests with this status, e.g. 503, and does nothing else for them.
    pub fn refuse(&self, requests: u32, status: u16) {
        *lock(&self.shared.refusals) = Refusals { left: requests, status };
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: S3Service, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (service, shared) = (service.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let (service, shared) = (service.clone(), Arc::clone(&shared));
                        async move {
                            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                            let answer = match shared.refusal() {
                                Some(status) => Ok(refused(status)),
                                None => service.call(request.map(Body::from)).await,
                            };
                            shared.record(&method, path, answer.as_ref().map_or(0, |answer| answer.status().as_u16()));
                            answer
                        }
                    });
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    fn refusal(&self) -> Option<StatusCode> {
        let mut refusals = lock(&self.refusals);
        refusals.left = refusals.left.checked_sub(1)?;
        StatusCode::from_u16(refusals.status).ok()
    }

    fn record(&self, method: &Method, path: String, status: u16) {
        lock(&self.requests).push(S3Request { method: method.to_string(), path, status });
    }
}

fn refused(status: StatusCode) -> HttpResponse {
    let text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>as told</Message></Error>";
    let mut answer = HttpResponse::new(Body::from(text.to_owned()));
    *answer.status_mut() = status;
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper_util::client::legacy::{Client, connect::HttpConnector as Tcp};
    use object_store::aws::AmazonS3Builder;
    use object_store::client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpService,
    };
    use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

    #[derive(Debug)]
    struct Plain(Client<Tcp, HttpRequestBody>);

    #[derive(Debug)]
    struct Connector;

    impl HttpConnector for Connector {
        fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
            Ok(HttpClient::new(Plain(Client::builder(TokioExecutor::new()).build_http())))
        }
    }

    #[async_trait::async_trait]
    impl HttpService for Plain {
        async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            let failed = |error| HttpError::new(HttpErrorKind::Connect, error);
            let answer = self.0.request(request).await.map_err(failed)?;
            Ok(answer.map(|body| {
                object_store::client::HttpResponseBody::new(
                    body.map_err(|error| HttpError::new(HttpErrorKind::Decode, error)),
                )
            }))
        }
    }

    fn client(server: &S3Server, secret: &str) -> impl ObjectStore {
        AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(secret)
            .with_http_connector(Connector)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn objects_are_put_once_and_seen_on_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let server = S3Server::start(root.path()).await.unwrap();
        let store = client(&server, SECRET_KEY);
        let key = object_store::path::Path::from("2026/01/mail.eml");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&key, vec![b'a'; 300_000].into(), create()).await.unwrap();
        let again = store.put_opts(&key, "other".into(), create()).await.unwrap_err();
        assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again:?}");
        assert_eq!(server.keys().unwrap(), ["2026/01/mail.eml"]);
        assert_eq!(server.object("2026/01/mail.eml").unwrap(), Some(vec![b'a'; 300_000]));
        assert_eq!(server.object("none").unwrap(), None);
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap().len(), 300_000);
        assert_eq!(server.puts("2026/01/mail.eml"), 1);
        let statuses: Vec<u16> = server.requests().iter().map(|request| request.status).collect();
        assert_eq!(statuses, [200, 412, 200]);
    }

    #[tokio::test]
    async fn a_wrong_secret_is_refused_and_so_are_requests_when_told() {
        let root = tempfile::tempdir().unwrap();
        let server = S3Server::start(root.path()).await.unwrap();
        let key = object_store::path::Path::from("x");
        client(&server, "wrong").put(&key, "x".into()).await.unwrap_err();
        let store = client(&server, SECRET_KEY);
        server.refuse(1, 503);
        store.put(&key, "x".into()).await.unwrap_err();
        store.put(&key, "x".into()).await.unwrap();
        let statuses: Vec<u16> = server.requests().iter().map(|request| request.status).collect();
        assert_eq!(statuses, [403, 503, 200]);
    }
}
