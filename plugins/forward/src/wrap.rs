//! A new message with the original attached, RFC 2046 section 5.2.1. The octets of the original never cross into the
//! plugin, and everything in the new message is derived: the same message is wrapped the same way at every try.

use postroom_sdk::prelude::*;
use postroom_sdk::route::{self, Route};

use crate::envelope::{check_address, unstructured};
use crate::settings::Settings;

pub(crate) const SUBJECT: &str = "Fwd: {subject}";

/// Subject of a notice.
const NOTICE: &str = "Not forwarded: {subject}";

/// The wrapping message.
pub(crate) fn wrap(
    message: &Message,
    settings: &Settings,
    to: &[String],
    route: &Route,
) -> Result<Blob, Fault> {
    // The original holds no digest of itself, so no line of it can be this boundary.
    let boundary = format!("=_postroom_{}", head(&message.sha256(), 40));
    let mut writer = Writer::new();
    let subject = settings.subject.as_deref().unwrap_or(SUBJECT);
    let content_type = format!("multipart/mixed; boundary=\"{boundary}\"");
    writer.write(fields(message, settings, (to, route), subject, &content_type).as_bytes())?;
    writer.write(text(message, &boundary).as_bytes())?;
    writer.write(
        format!(
            "--{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\
             Content-Disposition: attachment; filename=\"original.eml\"\r\n\r\n"
        )
        .as_bytes(),
    )?;
    writer.append(&message.raw())?;
    writer.write(format!("\r\n--{boundary}--\r\n").as_bytes())?;
    writer.finish()
}

/// A message about one that is too large, without it.
pub(crate) fn notice(
    message: &Message,
    settings: &Settings,
    to: &[String],
    route: &Route,
    most: Size,
) -> Result<Blob, Fault> {
    let mut writer = Writer::new();
    let content_type = "text/plain; charset=us-ascii";
    writer.write(fields(message, settings, (to, route), NOTICE, content_type).as_bytes())?;
    let text = format!(
        "A message of {} octets was retrieved at {}. It was not forwarded,\r\nsince that is more than {most}. \
         Its id at the host that retrieved it:\r\n{}\r\n",
        message.size(),
        message.received(),
        message.id()
    );
    writer.write(text.as_bytes())?;
    writer.finish()
}

/// A Message-ID that is the same at every try.
pub(crate) fn message_id(message: &Message, from: &str, route: &Route) -> String {
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    format!("<{}.{route}@{domain}>", head(&message.id(), 40))
}

fn fields(
    message: &Message,
    settings: &Settings,
    (to, route): (&[String], &Route),
    subject: &str,
    content_type: &str,
) -> String {
    let from = settings.from.as_deref().unwrap_or_default();
    let subject = subject.replace("{subject}", &message.subject());
    let marks = [route.mark(message)].into_iter().chain(route::earlier(message));
    let mut fields: Vec<String> = marks.map(|mark| format!("{}: {mark}", route::FIELD)).collect();
    let head_fields = [
        format!("From: {from}"),
        format!("To: {}", to.join(",\r\n ")),
        format!("Subject: {}", unstructured(&subject)),
        format!("Date: {}", message.received().rfc5322()),
        format!("Message-ID: {}", message_id(message, from, route)),
        // RFC 3834 section 5: nobody's vacation program answers.
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        format!("Content-Type: {content_type}"),
        "Content-Transfer-Encoding: 8bit".to_owned(),
    ];
    fields.extend(head_fields);
    // An answer goes to the author, where the author can be answered.
    if let Some(author) = message.from().filter(|author| check_address(&author.email).is_ok()) {
        fields.push(format!("Reply-To: {}", author.email));
    }
    fields.push("\r\n".to_owned());
    fields.join("\r\n")
}

fn text(message: &Message, boundary: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         The attached message was retrieved at {} and is forwarded as it came.\r\n\r\n",
        message.received()
    )
}

fn head(digits: &str, n: usize) -> &str {
    digits.get(..n).unwrap_or(digits)
}
