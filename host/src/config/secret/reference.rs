//! How a reference to a secret is read from the configuration. A literal is refused, and shown in no error.

use std::fmt;
use std::path::{Component, Path};

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{HOW, SecretRef};

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Every kind of value is visited by name here, because serde's own texts would show it.
struct Reference;

impl Reference {
    fn literal<T, E: de::Error>() -> Result<T, E> {
        Err(E::custom(format!("a secret is never written into the configuration itself\n{HOW}")))
    }
}

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<Word>,
    env: Option<Word>,
    command: Option<Words>,
    credential: Option<Word>,
}

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Self::literal()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<SecretRef, A::Error> {
        Self::literal()
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        let written = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let file = written.file.map(|Word(path)| SecretRef::File(path.into()));
        let env = written.env.map(|Word(name)| SecretRef::Env(name));
        let command = written.command.map(|Words(words)| SecretRef::Command(words));
        let credential = written.credential.map(|Word(name)| SecretRef::Credential(name));
        let mut references = [file, env, command, credential].into_iter().flatten();
        let wrong = |text: &str| de::Error::custom(format!("{text}\n{HOW}"));
        match (references.next(), references.next()) {
            (Some(reference), None) => checked(reference).map_err(wrong),
            (None, _) => Err(wrong("a secret needs a place to come from")),
            (Some(_), Some(_)) => Err(wrong("a secret comes from one place only")),
        }
    }
}

fn checked(reference: SecretRef) -> Result<SecretRef, &'static str> {
    match &reference {
        SecretRef::File(path) if path.as_os_str().is_empty() => Err("the name of a secret file is empty"),
        SecretRef::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
            Err("that is no name of a variable")
        }
        SecretRef::Command(words) if words.first().is_none_or(String::is_empty) => {
            Err("the command of a secret is empty")
        }
        SecretRef::Credential(name) if !is_plain_name(name) => Err("a credential is a name without \"/\""),
        _ => Ok(reference),
    }
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// A text whose value no error shows.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Word, E> {
                Err(E::custom("this must be a text in quotes"))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A list of such texts.
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Words, E> {
                Err(E::custom(
                    "a command is a list: its program, then its arguments\nfor example [\"pass\", \"show\", \"mail\"]",
                ))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Words, A::Error> {
                let mut list = Vec::new();
                while let Some(Word(word)) = words.next_element()? {
                    list.push(word);
                }
                Ok(Words(list))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
