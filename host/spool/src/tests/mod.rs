//! Checks of the implementations: both against the suite, one against the other, and the embedded one against crashes.

mod conformity;
mod crash;
mod disk;
mod random;

use crate::sqlite::Sizes;

/// Small segments, so that there are many.
fn rolling_at(roll_at: u64) -> Sizes {
    Sizes { roll_at, ..Sizes::default() }
}
