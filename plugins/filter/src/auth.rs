//! What a server of the operator's says of DKIM, SPF and DMARC: Authentication-Results, RFC 8601.
//!
//! Anybody can write such a field into a mail. So the operator names the server (`by`), and only the topmost field of that
//! name counts: servers put theirs on top and, as section 5 of the RFC demands, remove those that claim to be theirs. A
//! server that does not remove them, or writes none, makes the condition worth nothing.

use postroom_sdk::{JsonSchema, schemars};
use serde::Deserialize;

use crate::list::Lists;
use crate::pattern::{Pattern, Patterns};

/// Those that are there must match.
#[derive(Clone, Debug, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthTest {
    /// The name the server gives itself in the field (authserv-id).
    pub(crate) by: String,
    /// How many of its topmost fields count, for servers that write one for each method.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub(crate) fields: usize,
    /// Result of a signature: "pass", "fail", "none" and so on.
    pub(crate) dkim: Option<Patterns>,
    /// Domain of a signature that has that result.
    pub(crate) dkim_domain: Option<Patterns>,
    /// Result of SPF.
    pub(crate) spf: Option<Patterns>,
    /// Result of DMARC.
    pub(crate) dmarc: Option<Patterns>,
}

fn one() -> usize {
    1
}

impl AuthTest {
    /// Whether the fields, topmost first, say so.
    pub(crate) fn matches(&self, fields: &[Vec<u8>], lists: &Lists) -> bool {
        let stated: Vec<Vec<Finding>> = fields
            .iter()
            .filter_map(|field| findings(&String::from_utf8_lossy(field), &self.by))
            .take(self.fields)
            .collect();
        let findings: Vec<&Finding> = stated.iter().flatten().collect();
        let says = |method: &str, wanted: &Option<Patterns>| {
            wanted.as_ref().is_none_or(|wanted| {
                let mut of_method = findings.iter().filter(|finding| finding.method == method);
                of_method.any(|finding| wanted.matches(&finding.result, lists))
            })
        };
        !stated.is_empty()
            && says("spf", &self.spf)
            && says("dmarc", &self.dmarc)
            && (self.dkim.is_none() && self.dkim_domain.is_none()
                || findings.iter().any(|finding| self.is_signed(finding, lists)))
    }

    /// Without a wanted result, only a signature that passed says whose it is.
    fn is_signed(&self, finding: &Finding, lists: &Lists) -> bool {
        finding.method == "dkim"
            && self
                .dkim
                .as_ref()
                .map_or(finding.result == "pass", |dkim| dkim.matches(&finding.result, lists))
            && self.dkim_domain.as_ref().is_none_or(|wanted| {
                finding.domain.as_ref().is_some_and(|domain| wanted.matches(domain, lists))
            })
    }

    /// The patterns in it.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let Self { by: _, fields: _, dkim, dkim_domain, spf, dmarc } = self;
        [dkim, dkim_domain, spf, dmarc].into_iter().flatten().flat_map(|patterns| &patterns.0)
    }
}

/// One result, in lower case.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    method: String,
    result: String,
    /// Of DKIM: `header.d`, else the domain of `header.i`.
    domain: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Equals,
}

/// The results of a field, when it is by that server and can be read.
fn findings(field: &str, by: &str) -> Option<Vec<Finding>> {
    let statements = statements(field)?;
    let (first, rest) = statements.split_first()?;
    match first.first() {
        Some(Token::Word(server)) if server.eq_ignore_ascii_case(by) => {}
        _ => return None,
    }
    Some(rest.iter().filter_map(|tokens| finding(tokens)).collect())
}

/// `method[/version] = result [ptype.property = value]…`; anything else says nothing.
fn finding(tokens: &[Token]) -> Option<Finding> {
    let [Token::Word(method), Token::Equals, Token::Word(result), properties @ ..] = tokens else {
        return None;
    };
    let property = |wanted: &str| {
        properties.windows(3).find_map(|tokens| match tokens {
            [Token::Word(name), Token::Equals, Token::Word(value)] if name.eq_ignore_ascii_case(wanted) => {
                Some(value.to_ascii_lowercase())
            }
            _ => None,
        })
    };
    let of_identity = |identity: String| identity.rsplit('@').next().map(str::to_owned);
    Some(Finding {
        method: method.split('/').next().unwrap_or_default().to_ascii_lowercase(),
        result: result.to_ascii_lowercase(),
        domain: property("header.d").or_else(|| property("header.i").and_then(of_identity)),
    })
}

/// The words between semicolons. Quoted strings are one word, comments are none; `None` when either does not end.
fn statements(field: &str) -> Option<Vec<Vec<Token>>> {
    let mut statements = vec![Vec::new()];
    let mut word: Option<String> = None;
    let (mut depth, mut quoted) = (0_usize, false);
    let mut chars = field.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            '\\' if depth > 0 => drop(chars.next()),
            '"' if depth == 0 => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            _ if quoted => word.get_or_insert_default().push(ch),
            '(' => {
                end(&mut statements, &mut word);
                depth += 1;
            }
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            ';' => {
                end(&mut statements, &mut word);
                statements.push(Vec::new());
            }
            '=' => {
                end(&mut statements, &mut word);
                statements.last_mut()?.push(Token::Equals);
            }
            _ if ch.is_whitespace() => end(&mut statements, &mut word),
            _ => word.get_or_insert_default().push(ch),
        }
    }
    end(&mut statements, &mut word);
    (depth == 0 && !quoted).then_some(statements)
}

fn end(statements: &mut [Vec<Token>], word: &mut Option<String>) {
    if let (Some(statement), Some(word)) = (statements.last_mut(), word.take()) {
        statement.push(Token::Word(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, expected: &[(&str, &str, Option<&str>)]) {
        let found = findings(field, "mx.example").unwrap_or_default();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.method.as_str(), one.result.as_str(), one.domain.as_deref()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_examples_of_rfc_8601_are_read() {
        check("mx.example 1; none", &[]);
        check("mx.example; spf=pass smtp.mailfrom=example.net", &[("spf", "pass", None)]);
        check(
            "mx.example;\r\n dkim=pass (good signature)\r\n  header.i=@mail.shop.example;\r\n dkim=fail (bad; signature) header.i=@x.example",
            &[("dkim", "pass", Some("mail.shop.example")), ("dkim", "fail", Some("x.example"))],
        );
        check(
            "(c) \"mx.example\" ; DKIM/1 = Pass header.d=Shop.example header.b=ab/c=; dmarc=pass",
            &[("dkim", "pass", Some("shop.example")), ("dmarc", "pass", None)],
        );
        check("other.example; dkim=pass", &[]);
    }

    #[test]
    fn a_quoted_string_or_a_comment_says_nothing_of_its_own() {
        check(
            "mx.example; spf=fail smtp.mailfrom=\"x; dkim=pass\\\" header.d=shop.example\"@evil.example",
            &[("spf", "fail", None)],
        );
        check(
            "mx.example; spf=fail (x; dkim=pass (nested)); dmarc=fail",
            &[("spf", "fail", None), ("dmarc", "fail", None)],
        );
        check("mx.example; spf=fail (does not end; dkim=pass", &[]);
        check("mx.example; spf=fail \"does not end; dkim=pass", &[]);
    }
}
