//! The tests, each by its name.

use super::arguments::Arguments;
use super::matches::Tags;
use super::{Compiler, no_tests};
use crate::date;
use crate::extension::Extension;
use crate::flaw::{Flaw, quoted};
use crate::program::{Duplicate, End, Identity, Subject, Test, Transform, Unit, Zone};
use crate::syntax::Call;
use crate::text::Text;

const WEEK_SECONDS: u64 = 7 * 86_400;

impl Compiler {
    /// A test. With `ihave` what is wrong with it is an error only where it is reached.
    pub(super) fn test(&mut self, call: &Call<'_>) -> Result<Test, Flaw> {
        match self.named(call) {
            Err(Flaw { at, text }) if self.extensions.has(Extension::IHave) => Ok(Test::Refused { at, text }),
            other => other,
        }
    }

    fn named(&mut self, call: &Call<'_>) -> Result<Test, Flaw> {
        let name = call.name.to_ascii_lowercase();
        let arguments = Arguments::of(call);
        match name.as_str() {
            "not" | "allof" | "anyof" => return self.combined(&name, call),
            _ => no_tests(call)?,
        }
        match name.as_str() {
            "true" => arguments.end().map(|()| Test::Constant(true)),
            "false" => arguments.end().map(|()| Test::Constant(false)),
            "exists" => self.exists(arguments),
            "size" => self.size(call, arguments),
            "header" => self.header(call, arguments),
            "address" => self.address(call, arguments),
            "envelope" => self.envelope(call, arguments),
            "body" => self.body(call, arguments),
            "date" => self.date(call, arguments),
            "currentdate" => self.current_date(call, arguments),
            "string" => self.string(call, arguments),
            "hasflag" => self.has_flag(call, arguments),
            "environment" => self.environment(call, arguments),
            "duplicate" => self.duplicate(call, arguments),
            "mailboxexists" => self.mailbox_exists(call, arguments),
            "ihave" => self.i_have(call, arguments),
            _ => Err(Flaw::new(call.at, format!("there is no test {}", quoted(call.name)))),
        }
    }

    fn combined(&mut self, name: &str, call: &Call<'_>) -> Result<Test, Flaw> {
        Arguments::of(call).end()?;
        if name == "not" {
            return match call.tests.as_slice() {
                [test] if !call.is_list => Ok(Test::Not(Box::new(self.test(test)?))),
                _ => Err(Flaw::new(call.at, "\"not\" takes one test")),
            };
        }
        if !call.is_list {
            let text = format!("{} takes tests in parentheses: expected \"(\"", quoted(call.name));
            return Err(Flaw::new(call.at, text));
        }
        let tests = call.tests.iter().map(|test| self.test(test)).collect::<Result<_, _>>()?;
        Ok(if name == "allof" { Test::All(tests) } else { Test::Any(tests) })
    }

    fn exists(&self, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        if let Some((at, tag)) = arguments.tag() {
            return Err(arguments.unknown(at, &tag));
        }
        let names = self.texts(arguments.texts("names of fields")?)?;
        arguments.end()?;
        Ok(Test::Exists(names))
    }

    fn size(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        let over = match arguments.tag() {
            Some((_, tag)) if tag == "over" => true,
            Some((_, tag)) if tag == "under" => false,
            Some((at, tag)) => return Err(arguments.unknown(at, &tag)),
            None => return Err(Flaw::new(call.at, "\"size\" needs \":over\" or \":under\"")),
        };
        let limit = arguments.number("the size")?;
        arguments.end()?;
        Ok(Test::Size { over, limit })
    }

    fn header(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        let mut tags = Tags::default();
        while let Some((at, tag)) = arguments.tag() {
            let taken = self.match_tag((at, &tag), &mut arguments, &mut tags)?
                || self.index_tag((at, &tag), &mut arguments, &mut tags)?;
            if !taken {
                return Err(arguments.unknown(at, &tag));
            }
        }
        let names = self.texts(arguments.texts("names of fields")?)?;
        let subject = Subject::Header { names, index: tags.index()? };
        self.matching(call, arguments, &tags, subject)
    }

    fn address(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        let mut tags = Tags::default();
        while let Some((at, tag)) = arguments.tag() {
            let taken = self.match_tag((at, &tag), &mut arguments, &mut tags)?
                || self.index_tag((at, &tag), &mut arguments, &mut tags)?
                || self.part_tag((at, &tag), &mut tags)?;
            if !taken {
                return Err(arguments.unknown(at, &tag));
            }
        }
        let names = self.texts(arguments.texts("names of fields")?)?;
        let part = tags.part.unwrap_or_default();
        let subject = Subject::Address { part, names, index: tags.index()? };
        self.matching(call, arguments, &tags, subject)
    }

    fn envelope(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Envelope, call.at, "envelope")?;
        let mut tags = Tags::default();
        while let Some((at, tag)) = arguments.tag() {
            let taken = self.match_tag((at, &tag), &mut arguments, &mut tags)?
                || self.part_tag((at, &tag), &mut tags)?;
            if !taken {
                return Err(arguments.unknown(at, &tag));
            }
        }
        let mut ends = Vec::new();
        for (at, end) in arguments.texts("parts of the envelope")? {
            ends.push(match end.to_ascii_lowercase().as_str() {
                "from" => End::From,
                "to" => End::To,
                _ => {
                    let text = format!("the envelope has no part {}; it has from and to", quoted(end));
                    return Err(Flaw::new(*at, text));
                }
            });
        }
        let subject = Subject::Envelope { part: tags.part.unwrap_or_default(), ends };
        self.matching(call, arguments, &tags, subject)
    }

    fn body(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Body, call.at, "body")?;
        let mut tags = Tags::default();
        let mut transform = None;
        while let Some((at, tag)) = arguments.tag() {
            let found = match tag.as_str() {
                "raw" => Transform::Raw,
                "text" => Transform::Text,
                "content" => {
                    let types = arguments.texts("types of parts")?;
                    Transform::Content(types.iter().map(|(_, name)| name.to_ascii_lowercase()).collect())
                }
                _ if self.match_tag((at, &tag), &mut arguments, &mut tags)? => continue,
                _ => return Err(arguments.unknown(at, &tag)),
            };
            if transform.replace(found).is_some() {
                return Err(Flaw::new(at, "a test looks at the body in one way"));
            }
        }
        self.matching(call, arguments, &tags, Subject::Body(transform.unwrap_or(Transform::Text)))
    }

    fn date(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Date, call.at, "date")?;
        let mut tags = Tags::default();
        let mut zone = None;
        while let Some((at, tag)) = arguments.tag() {
            let found = match tag.as_str() {
                "zone" => zone_of(arguments.text("a zone")?)?,
                "originalzone" => Zone::Original,
                _ if self.match_tag((at, &tag), &mut arguments, &mut tags)?
                    || self.index_tag((at, &tag), &mut arguments, &mut tags)? =>
                {
                    continue;
                }
                _ => return Err(arguments.unknown(at, &tag)),
            };
            if zone.replace(found).is_some() {
                return Err(Flaw::new(at, "a date has one zone"));
            }
        }
        let name = self.text(arguments.text("the name of a field")?)?;
        let unit = unit_of(arguments.text("a part of a date")?)?;
        let subject = Subject::Date { name, unit, zone: zone.unwrap_or(Zone::Local), index: tags.index()? };
        self.matching(call, arguments, &tags, subject)
    }

    fn current_date(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Date, call.at, "currentdate")?;
        let mut tags = Tags::default();
        let mut zone = Zone::Local;
        while let Some((at, tag)) = arguments.tag() {
            if tag == "zone" {
                zone = zone_of(arguments.text("a zone")?)?;
            } else if !self.match_tag((at, &tag), &mut arguments, &mut tags)? {
                return Err(arguments.unknown(at, &tag));
            }
        }
        let unit = unit_of(arguments.text("a part of a date")?)?;
        self.matching(call, arguments, &tags, Subject::CurrentDate { unit, zone })
    }

    fn string(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Variables, call.at, "string")?;
        let tags = self.match_tags(&mut arguments)?;
        let source = self.texts(arguments.texts("texts")?)?;
        self.matching(call, arguments, &tags, Subject::String(source))
    }

    fn has_flag(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Imap4Flags, call.at, "hasflag")?;
        let tags = self.match_tags(&mut arguments)?;
        let mut variables = Vec::new();
        if arguments.count() > 1 {
            for (at, name) in arguments.texts("names of variables")? {
                self.need(Extension::Variables, *at, name)?;
                variables.push(self.variable((*at, name))?);
            }
        }
        self.matching(call, arguments, &tags, Subject::Flags(variables))
    }

    fn environment(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Environment, call.at, "environment")?;
        let tags = self.match_tags(&mut arguments)?;
        let name = self.text(arguments.text("the name of an item")?)?;
        self.matching(call, arguments, &tags, Subject::Environment(name))
    }

    fn match_tags(&self, arguments: &mut Arguments<'_, '_>) -> Result<Tags, Flaw> {
        let mut tags = Tags::default();
        while let Some((at, tag)) = arguments.tag() {
            if !self.match_tag((at, &tag), arguments, &mut tags)? {
                return Err(arguments.unknown(at, &tag));
            }
        }
        Ok(tags)
    }

    /// The keys, and all of it together.
    fn matching(
        &self,
        call: &Call<'_>,
        mut arguments: Arguments<'_, '_>,
        tags: &Tags,
        subject: Subject,
    ) -> Result<Test, Flaw> {
        let matching = tags.matching()?;
        let keys = self.keys(matching, arguments.texts("the keys to match")?)?;
        arguments.end()?;
        Ok(Test::Match { at: call.at, subject, matching, keys })
    }

    fn duplicate(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Duplicate, call.at, "duplicate")?;
        let (mut handle, mut identity) = (Text::Plain(String::new()), None);
        let (mut seconds, mut last) = (WEEK_SECONDS, false);
        while let Some((at, tag)) = arguments.tag() {
            let found = match tag.as_str() {
                "header" => Identity::Header(self.text(arguments.text("the name of a field")?)?),
                "uniqueid" => Identity::Text(self.text(arguments.text("the id")?)?),
                "handle" => {
                    handle = self.text(arguments.text("the handle")?)?;
                    continue;
                }
                "seconds" => {
                    seconds = arguments.number("how long")?;
                    continue;
                }
                "last" => {
                    last = true;
                    continue;
                }
                _ => return Err(arguments.unknown(at, &tag)),
            };
            if identity.replace(found).is_some() {
                return Err(Flaw::new(at, "\"duplicate\" takes \":header\" or \":uniqueid\", not both"));
            }
        }
        arguments.end()?;
        let identity = identity.unwrap_or(Identity::Header(Text::Plain("message-id".to_owned())));
        Ok(Test::Duplicate(Box::new(Duplicate { at: call.at, handle, identity, seconds, last })))
    }

    fn mailbox_exists(&self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::Mailbox, call.at, "mailboxexists")?;
        let names = self.texts(arguments.texts("names of mailboxes")?)?;
        arguments.end()?;
        Ok(Test::MailboxExists(names))
    }

    fn i_have(&mut self, call: &Call<'_>, mut arguments: Arguments<'_, '_>) -> Result<Test, Flaw> {
        self.need(Extension::IHave, call.at, "ihave")?;
        let names = arguments.texts("names of extensions")?;
        arguments.end()?;
        let found: Option<Vec<Extension>> = names.iter().map(|(_, name)| Extension::find(name)).collect();
        for extension in found.iter().flatten() {
            self.extensions.add(*extension);
        }
        Ok(Test::Constant(found.is_some()))
    }
}

fn zone_of((at, zone): (u32, &str)) -> Result<Zone, Flaw> {
    let minutes = date::zone_minutes(zone);
    let wrong = || Flaw::new(at, format!("{} is no zone like \"+0100\"", quoted(zone)));
    minutes.map(Zone::Minutes).ok_or_else(wrong)
}

fn unit_of((at, name): (u32, &str)) -> Result<Unit, Flaw> {
    date::unit(&name.to_ascii_lowercase()).ok_or_else(|| {
        let text = format!(
            "{} is no part of a date; there are year, month, day, date, julian, hour, minute, second, time, \
             iso8601, std11, zone and weekday",
            quoted(name)
        );
        Flaw::new(at, text)
    })
}
