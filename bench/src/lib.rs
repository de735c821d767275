//! The scene of the measurements: messages, steps, and a clock of CPU time. Measures nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Digest, Name, Octets, Provenance, Timestamp, Uid};
use postroom_sandbox::{Grants, Limits, Message, Mime, Parser, SinkKind, StepConfig};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A message of about so many octets, as most long mail is: a short text, the same as HTML, and a file in base64.
pub fn mail(octets: usize) -> Vec<u8> {
    let mut mail = String::from(
        "Received: from mx.shop.example (mx.shop.example [192.0.2.1]) by in.home.example; Mon, 2 Nov 2026 10:00:00 +0000\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=2026; h=from:to:subject:date; bh=AAAA; b=BBBB\r\n\
         Message-ID: <1@shop.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nFrom: Shop <bills@shop.example>\r\n\
         To: Ada <ada@home.example>\r\nSubject: Your invoice of November\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n\
         --outer\r\nContent-Type: multipart/alternative; boundary=\"inner\"\r\n\r\n\
         --inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe invoice is attached.\r\n",
    );
    mail.push_str(&"A line of text that nobody reads to its end, as in most mail.\r\n".repeat(octets / 600));
    mail.push_str("--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
    mail.push_str(&"<p>A line of text that nobody reads to its end, as in most mail=2E</p>\r\n".repeat(octets / 600));
    mail.push_str("--inner--\r\n--outer\r\nContent-Type: application/pdf; name=\"bill.pdf\"\r\nContent-Disposition: attachment; filename=\"bill.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let line = "JVBERi0xLjcKJcTl8uXrp/Og0MTGCjQgMCBvYmoKPDwgL0xlbmd0aCA1IDAgUiAvRmlsdGVyIC9G";
    let end = "--outer--\r\n";
    while mail.len() + line.len() + 2 + end.len() <= octets {
        mail.push_str(line);
        mail.push_str("\r\n");
    }
    mail.push_str(end);
    mail.into_bytes()
}

/// A message as the chain gets it: nothing of it is derived yet.
pub fn message(octets: &Arc<Vec<u8>>, mime: Option<&Arc<Mime>>) -> anyhow::Result<Arc<Message>> {
    let provenance = Provenance {
        account: Name::new("home")?,
        uid: Uid(b"1".to_vec()),
        ordinal: 0,
        digest: Digest([7; 32]),
        size: octets.len() as u64,
        retrieved: Timestamp(1_790_000_000_123),
    };
    let octets: Arc<dyn Octets> = Arc::clone(octets) as Arc<dyn Octets>;
    Ok(Arc::new(Message::new(provenance, octets, mime.map(|mime| Arc::clone(mime) as Arc<dyn Parser>))))
}

/// A step with one sink of each kind.
pub fn step(name: &str, settings: &serde_json::Value) -> anyhow::Result<StepConfig> {
    let sinks = [("vault", SinkKind::Object), ("mailbox", SinkKind::Mailbox), ("relay", SinkKind::Transport)];
    let mut granted = BTreeMap::new();
    for (sink, kind) in sinks {
        granted.insert(Name::new(sink)?, kind);
    }
    Ok(StepConfig {
        pipeline: Name::new("main")?,
        step: Name::new(name)?,
        grants: Grants { sinks: granted, ..Grants::default() },
        limits: Limits::default(),
        required: true,
        settings: settings.to_string(),
    })
}
