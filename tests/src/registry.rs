//! A real registry, `docker-registry` of Debian, with TLS and one user, its storage in a private directory.

use std::net::SocketAddr;
use std::process::Command;

use postroom_practice::Identity;
use tempfile::TempDir;

use crate::HarnessError;
use crate::process::{self, Process};

/// The user who is known.
pub const USER: &str = "me";
/// Of that user.
pub const PASSWORD: &str = "correct horse";
/// The password as the registry keeps it (bcrypt).
const HASH: &str = "$2b$04$MVcUv0MbQBIPN7ierjJ4a./vYyz0Pa.Nif4JvJclKstao9Phu0rVy";
/// Tries, when somebody else takes the port.
const TRIES: usize = 5;

/// A running registry on an ephemeral port of 127.0.0.1; ends when dropped.
#[derive(Debug)]
pub struct RealRegistry {
    addr: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl RealRegistry {
    /// Starts one, empty, that everybody has to log in to.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub async fn start(identity: &Identity) -> Result<Self, HarnessError> {
        let mut tries = 1;
        loop {
            match Self::try_once(identity).await {
                Err(HarnessError::Ended { .. }) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_once(identity: &Identity) -> Result<Self, HarnessError> {
        let program =
            process::program("docker-registry", "docker-registry", &["/usr/bin", "/usr/local/bin"])?;
        let directory =
            TempDir::new().map_err(|source| HarnessError::Io { doing: "making a directory", source })?;
        let (root, addr) = (directory.path(), process::free_port()?);
        process::write(&root.join("cert.pem"), identity.certificate_pem().as_bytes())?;
        process::write(&root.join("key.pem"), identity.key_pem().as_bytes())?;
        process::write(&root.join("htpasswd"), format!("{USER}:{HASH}\n").as_bytes())?;
        let at = root.display();
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {at}/storage\n\
             auth:\n  htpasswd:\n    realm: practice\n    path: {at}/htpasswd\n\
             http:\n  addr: {addr}\n  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n"
        );
        let configuration = root.join("config.yml");
        process::write(&configuration, text.as_bytes())?;
        let mut command = Command::new(program);
        command.arg("serve").arg(&configuration).env("OTEL_TRACES_EXPORTER", "none");
        let mut running = Process::start("docker-registry", &mut command)?;
        running.ready(&[(addr, b"")], &root.join("log")).await?;
        Ok(Self { addr, _process: running, _directory: directory })
    }

    /// Its name for clients: host and port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.addr.port())
    }
}
