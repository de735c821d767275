//! Receipts in the order in which they came. Reads only; [`super::outbox`] writes them.

use postroom_mail::{Effect, Name, StepTrace, Timestamp};
use rusqlite::{Connection, params};

use super::fault::Outcome;
use super::rows::{self, PROVENANCE, signed, unsigned};
use crate::life;
use crate::records::{Receipt, Receipted};

/// At most `limit` receipts of one sink after the one with that number.
pub(super) fn after(sql: &Connection, sink: &Name, after: u64, limit: usize) -> Outcome<Vec<Receipted>> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {PROVENANCE}, m.id, m.labels, m.trace, r.number, r.at, e.body, e.receipt
         FROM receipts r INDEXED BY receipts_sink JOIN effects e ON e.seq = r.effect
         JOIN messages m ON m.seq = e.message
         WHERE r.sink = ?1 AND r.number > ?2 ORDER BY r.number LIMIT ?3"
    ))?;
    let mut rows = query.query(params![sink.as_str(), signed(after), rows::limit(limit)])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let effect: Effect = serde_json::from_str(&row.get::<_, String>(11)?)?;
        let trace: Vec<StepTrace> = rows::json(row.get(8)?)?;
        let receipt: Receipt = serde_json::from_str(&row.get::<_, String>(12)?)?;
        all.push(Receipted {
            number: unsigned(row.get(9)?),
            at: Timestamp(row.get(10)?),
            receipt,
            message: rows::message_id(row, 6)?,
            provenance: rows::provenance(row)?,
            labels: rows::json(row.get(7)?)?,
            plugin: life::plugin_of(&trace, &effect.step),
            effect,
        });
    }
    Ok(all)
}
