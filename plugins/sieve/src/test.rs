//! Whether a test holds: gathers the values it looks at and matches them.

use std::borrow::Cow;

use crate::address;
use crate::compile::regex;
use crate::date::{self, Moment};
use crate::duplicate;
use crate::matching::{Captures, Comparator, Kind, Matching};
use crate::outcome;
use crate::program::{Identity, Key, Part, Subject, Test, Unit, Zone};
use crate::run::{Run, Trouble};

impl Run<'_> {
    /// Whether a test holds.
    pub(crate) fn holds(&mut self, test: &Test) -> Result<bool, Trouble> {
        match test {
            Test::Constant(known) => Ok(*known),
            Test::Not(test) => self.holds(test).map(|holds| !holds),
            Test::All(tests) => {
                for test in tests {
                    if !self.holds(test)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Test::Any(tests) => {
                for test in tests {
                    if self.holds(test)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Test::Exists(names) => Ok(names.iter().all(|name| self.view.has(&self.fill(name)))),
            Test::Size { over, limit } => {
                let size = self.view.message().size();
                Ok(if *over { size > *limit } else { size < *limit })
            }
            Test::Match { at, subject, matching, keys } => self.matches(*at, subject, *matching, keys),
            Test::Duplicate(test) => {
                let id = match &test.identity {
                    Identity::Text(text) => Some(self.fill(text)),
                    Identity::Header(name) => self.view.fields(&self.fill(name), None).into_iter().next(),
                };
                let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(false) };
                let handle = self.fill(&test.handle);
                let entry = format!("{handle}\0{id}");
                if let Some(known) = self.duplicates.get(&entry) {
                    return Ok(*known);
                }
                let seen = duplicate::seen(self.view.message(), &entry, test.seconds, test.last)
                    .map_err(|fault| Trouble::refused(test.at, fault))?;
                self.duplicates.insert(entry, seen);
                Ok(seen)
            }
            Test::MailboxExists(names) => {
                // Mailbox sinks make what is not there, so every mailbox that can be there is.
                let is_there = |name: &str| outcome::is_mailbox(&self.settings.mailbox(name));
                Ok(self.settings.mailboxes.is_some() && names.iter().all(|name| is_there(&self.fill(name))))
            }
            Test::Refused { at, text } => Err(Trouble::permanent(*at, text)),
        }
    }

    fn matches(&mut self, at: u32, subject: &Subject, how: Matching, keys: &[Key]) -> Result<bool, Trouble> {
        let values = self.values(at, subject)?;
        let filled: Vec<Cow<'_, str>> = keys.iter().map(|key| key.text.fill(&self.variables)).collect();
        if let Kind::Count(_) = how.kind {
            let count = match subject {
                // RFC 5229 section 5: an empty text counts for nothing.
                Subject::String(_) => values.iter().filter(|value| !value.is_empty()).count(),
                _ => values.len(),
            };
            let how = Matching { comparator: Comparator::AsciiNumeric, ..how };
            return Ok(filled.iter().any(|key| how.matches(&count.to_string(), key).is_some()));
        }
        let found = match how.kind {
            Kind::Regex => by_regex(at, &values, keys, &filled, how.comparator)?,
            _ => values.iter().find_map(|value| filled.iter().find_map(|key| how.matches(value, key))),
        };
        // The body sets no variables, RFC 5173 section 6.
        let captures = self.program.captures && !matches!(subject, Subject::Body(_));
        match found {
            Some(found) if captures && matches!(how.kind, Kind::Matches | Kind::Regex) => {
                self.variables.matched(found);
                Ok(true)
            }
            found => Ok(found.is_some()),
        }
    }

    fn values(&self, at: u32, subject: &Subject) -> Result<Vec<String>, Trouble> {
        Ok(match subject {
            Subject::Header { names, index } => {
                names.iter().flat_map(|name| self.view.fields(&self.fill(name), *index)).collect()
            }
            Subject::Address { part, names, index } => {
                let all = names.iter().flat_map(|name| self.view.addresses(&self.fill(name), *index));
                self.parts(all, *part)
            }
            Subject::Envelope { part, ends } => {
                self.parts(ends.iter().flat_map(|end| self.view.envelope(*end)), *part)
            }
            Subject::Body(transform) => {
                self.view.body(transform).map_err(|fault| Trouble::refused(at, fault))?
            }
            Subject::Date { name, unit, zone, index } => {
                let fields = self.view.fields(&self.fill(name), *index);
                let first = fields.first().and_then(|field| date::parse(field));
                first.map(|moment| self.shown(moment, *unit, *zone)).into_iter().collect()
            }
            Subject::CurrentDate { unit, zone } => {
                let seconds = self.view.message().received().millis().div_euclid(1000);
                vec![self.shown(Moment { seconds, zone: self.settings.zone.0 }, *unit, *zone)]
            }
            Subject::String(texts) => texts.iter().map(|text| self.fill(text)).collect(),
            Subject::Flags(variables) if variables.is_empty() => self.flags.clone(),
            Subject::Flags(variables) => {
                let lists = variables.iter().map(|number| self.variables.get(*number));
                lists.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
            }
            Subject::Environment(name) => self.fact(&self.fill(name)).into_iter().collect(),
        })
    }

    fn parts(&self, addresses: impl Iterator<Item = String>, part: Part) -> Vec<String> {
        let separator = &self.settings.separator;
        addresses.filter_map(|address| address::part(&address, part, separator).map(str::to_owned)).collect()
    }

    fn shown(&self, moment: Moment, unit: Unit, zone: Zone) -> String {
        moment.show(
            unit,
            match zone {
                Zone::Local => self.settings.zone.0,
                Zone::Original => moment.zone,
                Zone::Minutes(minutes) => minutes,
            },
        )
    }

    /// RFC 5183 section 4.1; what is not known here does not match.
    fn fact(&self, name: &str) -> Option<String> {
        match name.to_ascii_lowercase().as_str() {
            "name" => Some("Postroom".to_owned()),
            "version" => Some(env!("CARGO_PKG_VERSION").to_owned()),
            "location" => Some("MUA".to_owned()),
            "phase" => Some("post".to_owned()),
            "vnd.postroom.account" => Some(self.view.message().account()),
            _ => None,
        }
    }
}

fn by_regex(
    at: u32,
    values: &[String],
    keys: &[Key],
    filled: &[Cow<'_, str>],
    comparator: Comparator,
) -> Result<Option<Captures>, Trouble> {
    let mut made = Vec::with_capacity(keys.len());
    for (key, pattern) in keys.iter().zip(filled) {
        made.push(match &key.regex {
            Some(regex) => Cow::Borrowed(regex),
            None => Cow::Owned(regex(pattern, comparator).map_err(|text| Trouble::permanent(at, text))?),
        });
    }
    let found = values.iter().find_map(|value| made.iter().find_map(|regex| regex.captures(value)));
    Ok(found.map(|groups| {
        groups.iter().map(|group| group.map_or_else(String::new, |group| group.as_str().to_owned())).collect()
    }))
}
