//! Texts with variables: "{from}: {subject}". What the sender wrote is shortened and kept to one line.

use postroom_sdk::{JsonSchema, Message, schemars};
use serde::Deserialize;

/// Longest value of a variable, characters.
const VALUE: usize = 200;
const KNOWN: [(&str, Variable); 10] = [
    ("account", Variable::Account),
    ("count", Variable::Count),
    ("date", Variable::Date),
    ("from", Variable::From),
    ("id", Variable::Id),
    ("labels", Variable::Labels),
    ("name", Variable::Name),
    ("received", Variable::Received),
    ("size", Variable::Size),
    ("subject", Variable::Subject),
];

/// A text with variables. `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Account,
    Count,
    Date,
    From,
    Id,
    Labels,
    Name,
    Received,
    Size,
    Subject,
}

impl Template {
    /// The text about a message, one of `count`.
    pub(crate) fn render(&self, message: &Message, count: u64) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Variable(variable) => one_line(&variable.value(message, count)),
            })
            .collect()
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = vec![Piece::Text(String::new())];
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            push(&mut pieces, before);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                push(&mut pieces, &brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let Some((name, after)) = inside else {
                return Err(format!("\"{text}\" has a brace alone; write {{{{ or }}}} for a brace"));
            };
            let Some((_, variable)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = KNOWN.iter().map(|(known, _)| *known).collect();
                let known = known.join(", ");
                return Err(format!("\"{text}\" has the unknown variable {{{name}}}; known are {known}"));
            };
            pieces.push(Piece::Variable(*variable));
            rest = after;
        }
        push(&mut pieces, rest);
        Ok(Self(pieces))
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        Some(Piece::Variable(_)) | None => pieces.push(Piece::Text(text.to_owned())),
    }
}

impl Variable {
    fn value(self, message: &Message, count: u64) -> String {
        match self {
            Self::Account => message.account(),
            Self::Count => count.to_string(),
            Self::Date => message.date().map(|date| date.to_string()).unwrap_or_default(),
            Self::From => message.from().map(|from| from.email).unwrap_or_default(),
            Self::Id => message.id().chars().take(16).collect(),
            Self::Labels => message.labels().join(", "),
            Self::Name => message.from().map(|from| from.name.unwrap_or(from.email)).unwrap_or_default(),
            Self::Received => message.received().to_string(),
            Self::Size => message.size().to_string(),
            Self::Subject => message.subject(),
        }
    }
}

/// Without what could end a line or turn its direction, and not too long.
pub(crate) fn one_line(text: &str) -> String {
    let is_odd = |ch: char| {
        ch.is_control() || matches!(u32::from(ch), 0x2028..=0x202E | 0x2066..=0x2069 | 0x200B..=0x200F)
    };
    let shown: String = text.chars().map(|ch| if is_odd(ch) { ' ' } else { ch }).take(VALUE + 1).collect();
    match shown.char_indices().nth(VALUE) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}
