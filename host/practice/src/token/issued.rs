//! Owns what was issued and what has become of it: codes, access and refresh tokens, on a clock of its own. Must not
//! know HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

#[derive(Debug, Default)]
pub(super) struct Issued {
    /// Seconds since the start.
    pub(super) now: u64,
    count: u64,
    /// Access token to its end.
    access: BTreeMap<String, u64>,
    /// Refresh token to what it is good for.
    refresh: BTreeMap<String, Refresh>,
    codes: BTreeMap<String, Code>,
    devices: Vec<String>,
}

#[derive(Debug)]
struct Refresh {
    /// All that came of one sign-in.
    family: u64,
    scope: String,
    spent: bool,
}

#[derive(Debug)]
struct Code {
    challenge: String,
    redirect: String,
    scope: String,
}

/// One answer's worth of tokens.
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) scope: String,
}

impl Issued {
    pub(super) fn accepts(&self, access: &str) -> bool {
        self.access.get(access).is_some_and(|end| self.now < *end)
    }

    pub(super) fn revoke(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    pub(super) fn revoke_access(&mut self) {
        self.access.clear();
    }

    pub(super) fn code(&mut self, challenge: &str, redirect: &str, scope: &str) -> String {
        let code = self.next("code");
        let kept = Code { challenge: challenge.into(), redirect: redirect.into(), scope: scope.into() };
        self.codes.insert(code.clone(), kept);
        code
    }

    pub(super) fn device(&mut self) -> String {
        let code = self.next("device");
        self.devices.push(code.clone());
        code
    }

    /// Spends a code; the verifier must hash to its challenge (RFC 7636 section 4.6).
    pub(super) fn redeem(
        &mut self,
        code: &str,
        verifier: &str,
        redirect: &str,
        lifetime: Duration,
    ) -> Option<Pair> {
        let kept = self.codes.remove(code)?;
        let hashed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        (hashed == kept.challenge && redirect == kept.redirect).then(|| self.sign_in(&kept.scope, lifetime))
    }

    /// Spends a device code.
    pub(super) fn redeem_device(&mut self, code: &str, lifetime: Duration) -> Option<Pair> {
        let at = self.devices.iter().position(|known| known == code)?;
        self.devices.remove(at);
        Some(self.sign_in("mail", lifetime))
    }

    /// An access token alone.
    pub(super) fn application(&mut self, scope: &str, lifetime: Duration) -> Pair {
        Pair { access: self.access(lifetime), refresh: None, scope: scope.to_owned() }
    }

    /// `Err(true)` if the token was used before: then its whole family ends (RFC 9700 section 4.14).
    pub(super) fn refresh(&mut self, token: &str, rotate: bool, lifetime: Duration) -> Result<Pair, bool> {
        let Some(known) = self.refresh.get_mut(token) else { return Err(false) };
        let (family, scope) = (known.family, known.scope.clone());
        if known.spent {
            self.refresh.retain(|_, other| other.family != family);
            return Err(true);
        }
        known.spent = rotate;
        let refresh = rotate.then(|| self.refresh_token(family, &scope));
        Ok(Pair { access: self.access(lifetime), refresh, scope })
    }

    fn sign_in(&mut self, scope: &str, lifetime: Duration) -> Pair {
        let family = self.count;
        let refresh = Some(self.refresh_token(family, scope));
        Pair { access: self.access(lifetime), refresh, scope: scope.to_owned() }
    }

    fn access(&mut self, lifetime: Duration) -> String {
        let token = self.next("access");
        self.access.insert(token.clone(), self.now + lifetime.as_secs());
        token
    }

    fn refresh_token(&mut self, family: u64, scope: &str) -> String {
        let token = self.next("refresh");
        self.refresh.insert(token.clone(), Refresh { family, scope: scope.to_owned(), spent: false });
        token
    }

    fn next(&mut self, kind: &str) -> String {
        self.count += 1;
        let hash = Sha256::digest(format!("{kind} {}", self.count));
        format!("practice-{kind}-{}-{}", self.count, URL_SAFE_NO_PAD.encode(&hash[..12]))
    }
}
