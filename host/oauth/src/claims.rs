//! Owns what can be read from an access token that is a JWT (RFC 7519), for diagnosis only. Must not verify, decide
//! access by it, or show the token.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postroom_mail::rules::neutral;
use serde_json::Value;

use crate::grant::unix;
use crate::providers::Provider;

/// The longest token looked into, in octets.
const LONGEST: usize = 64 * 1024;

/// The claims that explain a refused login. Not verified: the server alone decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `aud`: for which service the token is.
    pub audience: Vec<String>,
    /// `scp`: what a user allowed.
    pub scopes: Vec<String>,
    /// `roles`: what an administrator allowed the application.
    pub roles: Vec<String>,
    /// `exp`: when it ends, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// `appid` or `azp`: the client.
    pub application: Option<String>,
    /// `upn` or `preferred_username`: the user.
    pub user: Option<String>,
}

impl Claims {
    /// Reads the claims; `None` for opaque tokens, which say nothing (Google's, Microsoft's for personal accounts).
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let mut parts = token.split('.');
        let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let claims: Value = serde_json::from_slice(&payload).ok()?;
        claims.as_object()?;
        let text = |name: &str| claims[name].as_str().map(|text| neutral(text, 200));
        Some(Self {
            audience: list(&claims["aud"]),
            scopes: list(&claims["scp"]).iter().flat_map(|all| all.split(' ')).map(str::to_owned).collect(),
            roles: list(&claims["roles"]),
            expires_at: claims["exp"].as_u64(),
            application: text("appid").or_else(|| text("azp")),
            user: text("upn").or_else(|| text("preferred_username")),
        })
    }
}

/// What the claims say about a login the provider refused: one sentence for each thing that is not as it should be,
/// and what to do. Empty when nothing stands out.
#[must_use]
pub fn explain(claims: &Claims, provider: &Provider, now: SystemTime) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(end) = claims.expires_at
        && end <= unix(now)
    {
        let since = unix(now) - end;
        found.push(format!(
            "the token expired {since} s ago: the clock of this machine is wrong, or the token is not refreshed"
        ));
    }
    if !provider.audiences.is_empty() && !claims.audience.iter().any(|is| accepted(is, provider)) {
        found.push(format!(
            "the token is for {}, not for the mail service ({}): correct `scopes`",
            if claims.audience.is_empty() { "nobody".to_owned() } else { claims.audience.join(", ") },
            provider.audiences[0]
        ));
    }
    // A token of a user has scopes; one of an application has none, only roles.
    match (&provider.user_permission, &provider.application_permission) {
        (Some(permission), _) if !claims.scopes.is_empty() => {
            if !claims.scopes.contains(permission) {
                found.push(format!(
                    "the token lacks the scope {permission} (it has {}): add it to `scopes`, and sign in again",
                    claims.scopes.join(" ")
                ));
            }
        }
        (_, Some(permission)) => {
            if claims.roles.contains(permission) {
                found.push(format!(
                    "the token has the role {permission}; if the login is refused all the same, the application {} is \
                     not registered in Exchange (New-ServicePrincipal) or has no right to this mailbox \
                     (Add-MailboxPermission)",
                    claims.application.as_deref().unwrap_or("of the token")
                ));
            } else {
                found.push(format!(
                    "the token lacks the role {permission}: give the application that permission for Exchange Online \
                     and grant admin consent"
                ));
            }
        }
        (_, None) => {}
    }
    found
}

fn accepted(audience: &str, provider: &Provider) -> bool {
    let audience = audience.trim_end_matches('/');
    provider.audiences.iter().any(|known| known.trim_end_matches('/').eq_ignore_ascii_case(audience))
}

/// A claim that is a text or a list of texts; bounded, and fit to be shown.
fn list(claim: &Value) -> Vec<String> {
    match claim {
        Value::String(one) => vec![neutral(one, 1000)],
        Value::Array(many) => {
            many.iter().take(100).filter_map(Value::as_str).map(|one| neutral(one, 200)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn token(claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims))
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn said(claims: &str) -> String {
        let provider = Provider::find("microsoft").unwrap();
        explain(&Claims::read(&token(claims)).unwrap(), &provider, at(100)).join("\n")
    }

    #[test]
    fn claims_are_read_in_both_shapes() {
        let claims = Claims::read(&token(
            r#"{"aud":["a","b"],"scp":"X Y","roles":["R"],"exp":12,"azp":"app","preferred_username":"me\u001b"}"#,
        ))
        .unwrap();
        assert_eq!(
            (claims.audience, claims.scopes),
            (vec!["a".into(), "b".into()], vec!["X".into(), "Y".into()])
        );
        assert_eq!((claims.roles, claims.expires_at), (vec!["R".to_owned()], Some(12)));
        assert_eq!((claims.application.as_deref(), claims.user.as_deref()), (Some("app"), Some("me\\u{1b}")));
    }

    #[test]
    fn what_is_no_readable_token_has_no_claims() {
        let long = format!("a.{}.c", "x".repeat(LONGEST));
        for opaque in ["", "abc", "a.b.c", "a.b.c.d.e", &token("[1]"), &token("\"x\""), &long] {
            assert_eq!(Claims::read(opaque), None, "{opaque:.20}");
        }
    }

    #[test]
    fn exchange_without_the_application_role_is_explained() {
        let text = said(r#"{"aud":"https://outlook.office365.com/","roles":["IMAP.AccessAsApp"],"exp":200}"#);
        assert!(text.contains("lacks the role POP.AccessAsApp"), "{text}");
        assert!(!text.contains("expired"), "{text}");
    }

    #[test]
    fn exchange_with_the_role_points_at_the_mailbox_permission() {
        let text = said(
            r#"{"aud":"https://outlook.office365.com","roles":["POP.AccessAsApp"],"appid":"app-1","exp":200}"#,
        );
        assert!(text.contains("New-ServicePrincipal") && text.contains("app-1"), "{text}");
    }

    #[test]
    fn a_wrong_audience_a_missing_scope_and_an_old_token_are_explained() {
        let text = said(r#"{"aud":"https://graph.microsoft.com","scp":"Mail.Read","exp":40}"#);
        assert!(text.contains("is for https://graph.microsoft.com"), "{text}");
        assert!(text.contains("lacks the scope POP.AccessAsUser.All"), "{text}");
        assert!(text.contains("expired 60 s ago"), "{text}");
    }

    #[test]
    fn a_good_token_of_a_user_needs_no_explanation() {
        assert_eq!(
            said(r#"{"aud":"https://outlook.office.com","scp":"POP.AccessAsUser.All openid","exp":200}"#),
            ""
        );
    }
}
