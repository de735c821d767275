//! Framing: where a line, a status, a list of lines and a message end.
//!
//! Owns every byte-level decision about what the server sent, with a cap on each. Must not know
//! commands or session states, and must not look inside a message.

mod body;
mod line;
mod multiline;
mod status;

pub use body::Tally;
pub(crate) use body::{BodyEvent, BodyReader};
pub use line::Eol;
pub(crate) use line::{Latch, LineReader};
pub(crate) use multiline::{Cap, Item, Lines};
pub use status::ResponseCode;
pub(crate) use status::{Indicator, Status};
