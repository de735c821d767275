//! What a message says about where it is from: Authentication-Results of a server that is believed (RFC 8601), and the
//! domains of DKIM signatures (RFC 6376), which are claims. Sender's data throughout: all reading is bounded, and what is
//! malformed says nothing.

use postroom_sdk::Message;

/// Most fields of one name that are looked at.
const FIELDS: usize = 10;
/// Longest field that is read, octets.
const FIELD_OCTETS: usize = 8 * 1024;
/// Deepest nesting of comments (RFC 5322 section 3.2.2).
const NESTING: usize = 8;
/// Longest domain (RFC 1035 section 2.3.4).
const DOMAIN_OCTETS: usize = 253;

/// What the domain in From asks receivers to do with mail that it does not vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// It has published none.
    NotPublished,
    None,
    Quarantine,
    Reject,
}

/// What one server found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// Domains whose DKIM signature passed.
    pub(crate) passed: Vec<String>,
    dmarc: Option<Dmarc>,
}

/// A DMARC result that names a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dmarc {
    /// The domain in From, when it says.
    from: Option<String>,
    policy: Policy,
}

/// One `method=result` with its properties.
#[derive(Debug, Default)]
struct Clause {
    words: Vec<String>,
    /// All comments together: some servers tell the policy there.
    comments: String,
}

impl Results {
    /// From the topmost fields as long as they are of that server. A server that follows RFC 8601 section 5 leaves no
    /// other field with its name; should it leave one, that lies lower, and the topmost field that knows a method decides.
    pub(crate) fn of(message: &Message, server: &str) -> Option<Self> {
        let mut results = Self::default();
        let (mut found, mut dkim) = (false, false);
        for field in message.header_all("Authentication-Results").iter().take(FIELDS) {
            let Some(clauses) = clauses_of(field, server) else { break };
            found = true;
            if !dkim && clauses.iter().any(|clause| clause.result("dkim").is_some()) {
                dkim = true;
                results.passed = clauses.iter().filter_map(Clause::signer).collect();
            }
            if results.dmarc.is_none() {
                results.dmarc = clauses.iter().find_map(Clause::dmarc);
            }
        }
        found.then_some(results)
    }

    /// The policy of the author's domain.
    pub(crate) fn policy(&self, author: &str) -> Option<Policy> {
        let dmarc = self.dmarc.as_ref()?;
        dmarc.from.as_deref().is_none_or(|from| from == author).then_some(dmarc.policy)
    }
}

impl Clause {
    fn result(&self, method: &str) -> Option<&str> {
        let (name, result) = self.words.first()?.split_once('=')?;
        let name = name.split_once('/').map_or(name, |(name, _)| name);
        (name == method).then_some(result)
    }

    fn property(&self, name: &str) -> Option<&str> {
        self.words.iter().skip(1).find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// Who signed, where that passed.
    fn signer(&self) -> Option<String> {
        if self.result("dkim")? != "pass" {
            return None;
        }
        let identity =
            || self.property("header.i").and_then(|i| i.rsplit_once('@')).map(|(_, domain)| domain);
        self.property("header.d").or_else(identity).and_then(domain)
    }

    fn dmarc(&self) -> Option<Dmarc> {
        let result = self.result("dmarc")?;
        let property = ["policy.dmarc", "policy.published-domain-policy", "policy.p", "p"];
        let told = property.iter().find_map(|name| self.property(name));
        let policy = match told.or_else(|| in_comment(&self.comments)) {
            _ if result == "none" => Policy::NotPublished,
            Some("none") => Policy::None,
            Some("quarantine") => Policy::Quarantine,
            Some("reject") => Policy::Reject,
            _ => return None,
        };
        Some(Dmarc { from: self.property("header.from").and_then(domain), policy })
    }
}

/// `p=REJECT sp=NONE dis=NONE`, as Google and OpenDMARC write it.
fn in_comment(comments: &str) -> Option<&str> {
    let mut words = comments.split(|ch: char| ch.is_ascii_whitespace() || ch == ',');
    words.find_map(|word| word.strip_prefix("p="))
}

/// What the field says, in lower case, when it is of that server.
fn clauses_of(field: &str, server: &str) -> Option<Vec<Clause>> {
    if field.len() > FIELD_OCTETS {
        return None;
    }
    let mut clauses = split(&field.to_ascii_lowercase())?.into_iter();
    let id = clauses.next()?.words.into_iter().next()?;
    (id == server.trim().to_ascii_lowercase()).then(|| clauses.collect())
}

/// At semicolons, and then at white space, outside of comments and quoted strings. `None` when one is left open.
fn split(field: &str) -> Option<Vec<Clause>> {
    let mut clauses = vec![Clause::default()];
    let mut word = String::new();
    let (mut depth, mut quoted) = (0_usize, false);
    let mut chars = field.chars();
    while let Some(ch) = chars.next() {
        let clause = clauses.last_mut()?;
        match ch {
            '\\' if quoted || depth > 0 => {
                let escaped = chars.next()?;
                if quoted { word.push(escaped) } else { clause.comments.push(escaped) }
            }
            '"' if depth == 0 => quoted = !quoted,
            _ if quoted => word.push(ch),
            '(' if depth < NESTING => {
                depth += 1;
                clause.comments.push(' ');
            }
            '(' => return None,
            ')' if depth > 0 => {
                depth -= 1;
                clause.comments.push(' ');
            }
            _ if depth > 0 => clause.comments.push(ch),
            ';' => {
                clause.end_word(&mut word);
                clauses.push(Clause::default());
            }
            _ if ch.is_whitespace() => clause.end_word(&mut word),
            _ => word.push(ch),
        }
    }
    clauses.last_mut()?.end_word(&mut word);
    (depth == 0 && !quoted).then_some(clauses)
}

impl Clause {
    /// White space may stand around `=`: such words are joined.
    fn end_word(&mut self, word: &mut String) {
        if word.is_empty() {
            return;
        }
        let word = std::mem::take(word);
        match self.words.last_mut() {
            Some(before) if before.ends_with('=') || word.starts_with('=') => before.push_str(&word),
            _ => self.words.push(word),
        }
    }
}

/// The domain of the one mailbox in the one From field. DMARC says nothing about any other message.
pub(crate) fn author_domain(message: &Message) -> Option<String> {
    if message.header_raw("From").len() != 1 {
        return None;
    }
    match message.addresses("From").as_slice() {
        [author] => author.domain().and_then(domain),
        _ => None,
    }
}

/// The domains that signed, by their own account.
pub(crate) fn signers(message: &Message) -> Vec<String> {
    let signed = message.header_all("DKIM-Signature");
    signed.iter().take(FIELDS).filter_map(|field| signer_of(field)).collect()
}

/// The tag `d` (RFC 6376 section 3.5).
fn signer_of(field: &str) -> Option<String> {
    let tags = field.get(..FIELD_OCTETS).unwrap_or(field).split(';');
    let mut named = tags.filter_map(|tag| tag.split_once('=')).filter(|(name, _)| name.trim() == "d");
    domain(named.next()?.1.trim())
}

/// In lower case, when it can be one and has a dot: no top-level domain signs mail.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let of_domains = |ch: char| ch.is_alphanumeric() || matches!(ch, '-' | '.' | '_');
    let fits = text.len() <= DOMAIN_OCTETS && text.contains('.') && text.chars().all(of_domains);
    fits.then_some(text)
}

/// Relaxed alignment (RFC 9989) as far as it can be seen without a list of public suffixes: the same domain, or one below
/// the other. Two siblings are not taken for aligned, which at worst wraps what need not be.
pub(crate) fn aligned(signer: &str, author: &str) -> bool {
    let below = |lower: &str, upper: &str| {
        lower.strip_suffix(upper).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    below(signer, author) || below(author, signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Option<Results> {
        let clauses = clauses_of(field, "MX.example")?;
        let passed = clauses.iter().filter_map(Clause::signer).collect();
        Some(Results { passed, dmarc: clauses.iter().find_map(Clause::dmarc) })
    }

    #[test]
    fn results_are_read_as_servers_write_them() {
        let table: [(&str, &[&str], Option<Policy>); 9] = [
            (
                "mx.example; dkim=pass header.i=@shop.example header.s=a header.b=xyz; spf=pass smtp.mailfrom=a@shop.example; \
                 dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=shop.example",
                &["shop.example"],
                Some(Policy::Reject),
            ),
            ("mx.example 1; none", &[], None),
            ("mx.example;dkim=fail (bad (really) \\) key) header.d=shop.example", &[], None),
            ("mx.example; dkim/1 = pass header.d = \"Shop.Example\"", &["shop.example"], None),
            (
                "mx.example; dkim=pass (x; dkim=pass header.d=evil.example) header.d=a.example",
                &["a.example"],
                None,
            ),
            (
                "mx.example; dkim=pass reason=\"; dkim=pass header.d=evil.example\" header.d=a.example",
                &["a.example"],
                None,
            ),
            ("mx.example; dmarc=none header.from=shop.example", &[], Some(Policy::NotPublished)),
            ("mx.example; dmarc=fail (p=quarantine dis=none)", &[], Some(Policy::Quarantine)),
            ("mx.example; dmarc=pass policy.dmarc=none header.from=other.example", &[], None),
        ];
        for (field, passed, policy) in table {
            let results = read(field).expect(field);
            assert_eq!(results.passed, passed, "{field}");
            assert_eq!(results.policy("shop.example"), policy, "{field}");
        }
        for field in [
            "",
            ";",
            "other.example; dkim=pass header.d=a.example",
            "mx.example; dkim=pass (",
            "mx.example; \"",
        ] {
            assert_eq!(read(field), None, "{field}");
        }
        assert_eq!(read(&format!("mx.example; dkim=pass {}", "(".repeat(100))), None);
    }

    #[test]
    fn alignment_is_the_same_domain_or_one_below_the_other() {
        for (signer, author, expected) in [
            ("shop.example", "shop.example", true),
            ("mail.shop.example", "shop.example", true),
            ("shop.example", "news.shop.example", true),
            ("evilshop.example", "shop.example", false),
            ("shop.example.evil.example", "shop.example", false),
            ("a.shop.example", "b.shop.example", false),
        ] {
            assert_eq!(aligned(signer, author), expected, "{signer} {author}");
        }
        assert_eq!(domain("example"), None, "nobody signs for a top-level domain");
    }

    #[test]
    fn the_domain_of_a_signature_is_its_tag_d() {
        assert_eq!(
            signer_of("v=1; a=rsa-sha256; d = Shop.example; i=@x.example"),
            Some("shop.example".to_owned())
        );
        assert_eq!(signer_of("v=1; bh=d=x.example"), None);
        assert_eq!(signer_of("d=a b.example"), None);
    }
}
