//! A message, and what rules have found out about it: each thing is asked of the host once.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use postroom_sdk::{Address, BodyKind, Message};

use crate::attachment::File;
use crate::html;
use crate::list::Lists;

/// HTML is longer than the text in it.
const HTML_FACTOR: u32 = 4;

#[derive(Debug)]
pub(crate) struct Facts<'m> {
    pub(crate) message: &'m Message<'m>,
    pub(crate) lists: &'m Lists,
    /// Octets of text that are looked at.
    body_octets: u32,
    addresses: RefCell<BTreeMap<String, Rc<Vec<Address>>>>,
    subject: OnceCell<String>,
    body: OnceCell<String>,
    files: OnceCell<Vec<File>>,
}

impl<'m> Facts<'m> {
    pub(crate) fn of(message: &'m Message<'m>, lists: &'m Lists, body_octets: u32) -> Self {
        Self {
            message,
            lists,
            body_octets,
            addresses: RefCell::default(),
            subject: OnceCell::new(),
            body: OnceCell::new(),
            files: OnceCell::new(),
        }
    }

    pub(crate) fn addresses(&self, field: &str) -> Rc<Vec<Address>> {
        let mut known = self.addresses.borrow_mut();
        let found = known.entry(field.to_owned()).or_insert_with(|| Rc::new(self.message.addresses(field)));
        Rc::clone(found)
    }

    pub(crate) fn subject(&self) -> &str {
        self.subject.get_or_init(|| self.message.subject())
    }

    /// The identifier of List-Id (RFC 2919): what stands between the last angle brackets, else all of it.
    pub(crate) fn list_id(&self) -> Option<String> {
        let value = self.message.header("list-id")?;
        let inside = value.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(id, _)| id);
        Some(inside.unwrap_or(&value).trim().to_owned())
    }

    /// The plain text, else what a reader sees of the HTML, as far as it is looked at. Makes the host parse MIME.
    pub(crate) fn body(&self) -> &str {
        self.body.get_or_init(|| {
            let plain = self.message.body(BodyKind::Text, self.body_octets);
            if let Some(plain) = plain.filter(|plain| !plain.trim().is_empty()) {
                return plain;
            }
            let source = self.message.body(BodyKind::Html, self.body_octets.saturating_mul(HTML_FACTOR));
            let mut text = html::text(&source.unwrap_or_default());
            text.truncate(text.floor_char_boundary(self.body_octets as usize));
            text
        })
    }

    /// Attachments without decoration. Makes the host parse MIME.
    pub(crate) fn files(&self) -> &[File] {
        self.files.get_or_init(|| {
            let parts = self.message.attachments().into_iter().filter(|part| !part.is_decoration());
            parts.map(|part| File::of(&part)).collect()
        })
    }
}
