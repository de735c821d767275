//! What a registry wants to see before it gives anything (RFC 9110 section 11.6.1, and the token authentication of the
//! distribution project). Pure: reads header fields, asks nobody.

use http_auth::parser::ChallengeParser;

/// A way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token with each request, to be had elsewhere.
    Bearer {
        /// The URL that gives tokens.
        realm: String,
        /// For whom the token is to be, in the words of the registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// The first challenge of these `WWW-Authenticate` fields that can be met. What follows something malformed is not read.
    pub(crate) fn read<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Self> {
        fields.find_map(|field| {
            ChallengeParser::new(field).map_while(Result::ok).find_map(|one| Self::of(&one))
        })
    }

    fn of(challenge: &http_auth::ChallengeRef<'_>) -> Option<Self> {
        let parameter = |wanted: &str| {
            let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        let bearer = challenge.scheme.eq_ignore_ascii_case("bearer");
        let realm = parameter("realm").filter(|_| bearer)?;
        Some(Self::Bearer { realm, service: parameter("service") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn what_registries_send_is_understood() {
        let read = |fields: &[&str]| Challenge::read(fields.iter().copied());
        assert_eq!(read(&["Basic realm=\"Registry\""]), Some(Challenge::Basic));
        assert_eq!(read(&["bAsIc"]), Some(Challenge::Basic));
        let usual = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a/b:pull\"";
        assert_eq!(read(&[usual]), bearer("https://auth.example/token", Some("registry.example")));
        assert_eq!(read(&["bearer Realm=\"https://x.example\""]), bearer("https://x.example", None));
        assert_eq!(read(&["Negotiate, Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(read(&["Negotiate", "Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_nobody_can_meet_is_none() {
        for field in
            ["", "Bearer service=\"x\"", "Digest realm=\"x\", nonce=\"y\"", "Bearer realm=\"x", "=,=,="]
        {
            assert_eq!(Challenge::read([field].into_iter()), None, "{field}");
        }
    }
}
