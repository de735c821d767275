//! What the operator sets.

use postroom_sdk::glob::Glob;
use postroom_sdk::prelude::*;
use postroom_sdk::schemars;
use serde::{Deserialize, Deserializer, de};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a granted object sink.
    pub sink: String,
    /// Key of each attachment; variables: account, date:FORMAT, sha256, id, uidl, subject, from, from_domain, filename,
    /// path, content_sha256.
    #[schemars(extend("default" = crate::extract::DEFAULT_KEY))]
    pub key: Option<PartTemplate>,
    /// Globs on the file name, also with the extension of its content: at least one must match.
    #[schemars(extend("default" = ["*"]))]
    pub include: Option<Globs>,
    /// Globs on the file name, also with the extension of its content: none may match.
    #[schemars(extend("default" = []))]
    pub exclude: Option<Globs>,
    /// Globs on the declared type: at least one must match.
    pub types: Option<Globs>,
    /// Globs on the type that the content shows: at least one must match.
    pub sniffed: Option<Globs>,
    /// Smallest content.
    pub min_size: Option<Size>,
    /// Largest content.
    pub max_size: Option<Size>,
    /// What becomes of pictures that the text shows. Other files are wanted anyway, even when the sender declared them
    /// inline or gave them a content id, as some programs do with every file.
    #[serde(default)]
    #[schemars(extend("default" = "decoration"))]
    pub inline: Inline,
    /// Largest picture that counts as decoration.
    #[schemars(extend("default" = "64 KiB"))]
    pub decoration_size: Option<Size>,
    /// What is opened, because mail programs should have.
    #[serde(default = "all")]
    #[schemars(extend("default" = ["tnef", "uuencode", "nested", "smime"]))]
    pub open: Vec<Opened>,
    /// What is opened besides.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub expand: Vec<Expanded>,
    /// Whether what was opened whole is stored as well.
    #[serde(default)]
    pub keep_opened: bool,
    /// A list of all parts, beside the files; a text is its key.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub manifest: Manifest,
    /// What becomes of a message of which not everything could be taken out.
    #[serde(default)]
    #[schemars(extend("default" = "label"))]
    pub on_partial: OnPartial,
    /// How much is taken out of one message.
    #[serde(default)]
    pub budget: Limits,
}

/// Globs, case-insensitive; `*` matches everything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Globs(Vec<Glob>);

impl Globs {
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }
}

/// What becomes of pictures that the text shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value", inline, extend("enum" = ["decoration", "no", "yes", true, false]))]
pub enum Inline {
    /// They are stored.
    Yes,
    /// They are left out.
    No,
    /// Small ones are left out.
    #[default]
    Decoration,
}

impl<'de> Deserialize<'de> for Inline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(true) => Ok(Self::Yes),
            serde_json::Value::Bool(false) => Ok(Self::Decoration),
            serde_json::Value::String(text) if text == "yes" => Ok(Self::Yes),
            serde_json::Value::String(text) if text == "no" => Ok(Self::No),
            serde_json::Value::String(text) if text == "decoration" => Ok(Self::Decoration),
            other => Err(de::Error::custom(format!("{other} is none of \"yes\", \"no\" and \"decoration\""))),
        }
    }
}

/// What is opened by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Opened {
    /// Outlook's winmail.dat.
    Tnef,
    /// Files in a plain text.
    Uuencode,
    /// Attached messages.
    Nested,
    /// Signed S/MIME.
    Smime,
}

fn all() -> Vec<Opened> {
    vec![Opened::Tnef, Opened::Uuencode, Opened::Nested, Opened::Smime]
}

/// What is opened when the operator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Expanded {
    /// ZIP archives, but no documents that are archives inside.
    Zip,
}

/// The list of all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value", inline, extend("type" = ["boolean", "string"], "minLength" = 1))]
pub enum Manifest {
    /// None.
    #[default]
    No,
    /// Under a key.
    Key(MessageTemplate),
}

const MANIFEST_KEY: &str = "{account}/{date:%Y-%m}/{id:16}.manifest.json";

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(false) => return Ok(Self::No),
            serde_json::Value::Bool(true) => MANIFEST_KEY.to_owned(),
            serde_json::Value::String(key) => key,
            other => return Err(de::Error::custom(format!("{other} is none of true, false and a key"))),
        };
        MessageTemplate::parse(&key).map(Self::Key).map_err(|problem| de::Error::custom(problem.text))
    }
}

/// What becomes of a message of which not everything could be taken out. What could be is stored in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnPartial {
    /// It gets the label `attachments-partial`.
    #[default]
    Label,
    /// It is set aside for the operator.
    Quarantine,
    /// Nothing; the log tells.
    Ignore,
}

/// How much is taken out of one message.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Limits {
    /// Parts that are looked at, also those inside of others.
    #[schemars(extend("default" = 1000))]
    pub parts: usize,
    /// How deep things are opened inside of each other.
    #[schemars(extend("default" = 8))]
    pub depth: u32,
    /// Octets decoded or inflated here.
    #[schemars(extend("default" = "16 MiB"))]
    pub octets: Size,
    /// Of these, octets that are stored: the step's limit `made-octets` allows no more.
    #[schemars(extend("default" = "3 MiB"))]
    pub made: Size,
    /// Files stored.
    #[schemars(extend("default" = 200))]
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts: 1000, depth: 8, octets: Size(16 << 20), made: Size(3 << 20), files: 200 }
    }
}

impl Settings {
    /// What no single value shows.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match (self.min_size, self.max_size) {
            (Some(min), Some(max)) if min > max => Err(Problem::new(
                "min_size",
                format!("{min} is more than max_size, {max}: nothing could match"),
            )),
            _ => Ok(()),
        }
    }
}
