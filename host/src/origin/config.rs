//! Registries as the operator writes them. Reads no file and asks nobody.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::SecretRef;

/// `[registries.NAME]`: what is to be known of a registry that plugins come from. One that needs no login and is trusted
/// by the system's authorities needs no table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// As in the plugin's name: host, and port if it is not 443.
    pub host: String,
    /// Who pulls.
    pub user: Option<String>,
    /// With which password or token.
    pub password: Option<SecretRef>,
    /// PEM file of the authorities to trust instead of the system's, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// Speaks without TLS: only a registry on this machine.
    #[serde(default)]
    pub allow_http: bool,
}

impl RegistryConfig {
    /// What is wrong with it: a key and a text.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.host.is_empty() || self.host.contains(['/', '@', ' ']) {
            problems.push((
                "host",
                "must be a host, and perhaps a port, like \"registry.example:5000\"".to_owned(),
            ));
        }
        if self.user.is_some() != self.password.is_some() {
            problems.push(("user", "`user` and `password` go together".to_owned()));
        }
        if self.allow_http && !is_loopback(&self.host) {
            problems.push((
                "allow_http",
                "is only for a registry on this machine, at a loopback address".to_owned(),
            ));
        }
        problems
    }

    /// The files that are read when a plugin is pulled, as written.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.ca_file.as_deref().into_iter()
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told_by_its_key() {
        let usual = RegistryConfig {
            host: "registry.example:5000".to_owned(),
            user: None,
            password: None,
            ca_file: None,
            allow_http: false,
        };
        assert!(usual.problems().is_empty());
        let wrong = |change: fn(&mut RegistryConfig)| {
            let mut config = usual.clone();
            change(&mut config);
            config.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>()
        };
        assert_eq!(wrong(|config| config.host = "https://registry.example/x".to_owned()), ["host"]);
        assert_eq!(wrong(|config| config.user = Some("me".to_owned())), ["user"]);
        assert_eq!(wrong(|config| config.allow_http = true), ["allow_http"]);
        let local = RegistryConfig { host: "127.0.0.1:5000".to_owned(), allow_http: true, ..usual };
        assert!(local.problems().is_empty());
    }
}
