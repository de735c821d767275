//! `postroom seen stuck` and `retry`: messages that could not be retrieved.

use postroom_mail::Uid;
use postroom_mail::rules::neutral;

use super::super::output::{self, Table, count, moment};
use super::super::{Exit, Failure, Outcome, setup};
use super::Ledger;
use crate::source::next_try;

impl Ledger<'_> {
    pub(super) fn stuck(&self) -> Outcome {
        let spool = self.context.read_spool()?;
        let stumbles = setup::runtime()?.block_on(spool.stumbles(self.id))?;
        if self.context.json {
            let rows: Vec<_> = stumbles
                .iter()
                .map(|stumble| {
                    serde_json::json!({
                        "uid": stumble.uid.to_string(), "ordinal": stumble.ordinal, "times": stumble.times,
                        "first": moment(stumble.first), "last": moment(stumble.last),
                        "reason": neutral(&stumble.reason, 500), "next_try": next_try(stumble).map(moment),
                    })
                })
                .collect();
            output::json(&serde_json::json!({ "account": self.id, "stuck": rows }))?;
            return Ok(Exit::Ok);
        }
        if stumbles.is_empty() {
            println!("no message of account {} failed to arrive", self.id);
            return Ok(Exit::Ok);
        }
        let mut table = Table::new(["UNIQUE-ID", "FAILED", "LAST", "NEXT TRY", "REASON"]);
        for stumble in &stumbles {
            table.row([
                stumble.uid.to_string(),
                count(stumble.times.into(), "time", "times"),
                moment(stumble.last),
                next_try(stumble).map_or_else(|| "the next poll".to_owned(), moment),
                stumble.reason.clone(),
            ]);
        }
        table.print();
        println!(
            "\nthey stay on the server. `postroom seen retry {}` has them tried at the next poll.",
            self.id
        );
        Ok(Exit::Ok)
    }

    pub(super) fn retry(&self, meant: Option<Vec<Uid>>) -> Outcome {
        let spool = self.spool(true)?;
        let freed = setup::runtime()?.block_on(async {
            let Some(meant) = &meant else { return Ok::<_, Failure>(spool.unstumble(self.id, None).await?) };
            for uid in meant {
                let freed = spool.unstumble(self.id, Some(uid.clone())).await?;
                if freed > 0 {
                    return Ok(freed);
                }
            }
            Err(self.unknown(meant, "stuck"))
        });
        let freed = freed?;
        if self.context.json {
            output::json(&serde_json::json!({ "account": self.id, "freed": freed }))?;
        } else {
            println!("{} tried again at the next poll", count(freed, "message is", "messages are"));
        }
        Ok(Exit::Ok)
    }
}
