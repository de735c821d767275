//! Copies of days that are over, beside the objects: for a manifest that is kept elsewhere. Never overwritten.

use std::io;

use super::writer::blocking;
use super::{Book, Day, Signed, Standing};
use crate::sinks::{ManifestPlace, Sink};

/// Puts every day that is over and has no copy yet.
///
/// # Errors
/// When the store fails, or something else lies under such a name.
pub(super) async fn copy(sink: &Sink, place: &ManifestPlace, standing: &mut Standing) -> io::Result<()> {
    let after = standing.copied;
    let from = place.clone();
    let days = blocking(move || {
        let Some(book) = Book::open(&from, false)? else { return Ok(Vec::new()) };
        let mut days = book.heads()?;
        days.retain(|day| after.is_none_or(|after| *day > after));
        Ok(days)
    });
    for day in days.await? {
        let Some((lines, head)) = over(place, day).await? else { break };
        // The head last: who sees it finds the lines.
        for (name, octets) in [(day.lines(), lines), (day.head(), head)] {
            let same = sink.copy_manifest(&name, octets).await.map_err(io::Error::other)?;
            if !same {
                return Err(io::Error::other(format!(
                    "the copy of {name} beside the objects is another file than the one here"
                )));
            }
        }
        standing.copied = Some(day);
    }
    Ok(())
}

/// Lines and head of a day, when it is over.
async fn over(place: &ManifestPlace, day: Day) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let place = place.clone();
    blocking(move || {
        let Some(book) = Book::open(&place, false)? else { return Ok(None) };
        let Some(head) = book.head(day)? else { return Ok(None) };
        let closed = Signed::read(&head).is_ok_and(|signed| signed.head.closed);
        Ok(if closed { Some((book.whole_day(day)?, head)) } else { None })
    })
    .await
}
