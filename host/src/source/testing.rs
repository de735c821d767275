//! An account for tests of this module. Compiled for tests only.

use std::time::Duration;

use crate::config::{AccountConfig, Auth, First, Login, Poll, Renumbered, SecretRef, Silence, TlsMode};

/// As `host`, `user` and `password` alone make it.
pub(super) fn account() -> AccountConfig {
    AccountConfig {
        host: "pop.example.net".to_owned(),
        port: 995,
        tls: TlsMode::Implicit,
        trust: postroom_dial::Trust::default(),
        proxy: None,
        user: "me".to_owned(),
        login: Login::Password(SecretRef::File("secret".into())),
        auth: Auth::Auto,
        provider: None,
        poll: Poll::every(Duration::from_secs(300)),
        timeout: Duration::from_secs(60),
        pipeline: postroom_mail::Name::new("main").unwrap(),
        enabled: true,
        first: First::All,
        renumbered: Renumbered::Match,
        delete: postroom_spool::DeletePolicy::Never,
        utf8: false,
        pipelining: true,
        silence: Silence::Rhythm,
    }
}
