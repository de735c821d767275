//! What the unique-ids of a listing look like, and what of it is against RFC 1939 section 7. Pure.

use std::collections::HashMap;

use postroom_pop3::listing::NoId;

use super::Level;

/// RFC 1939 allows so many octets.
const ALLOWED: usize = 70;

/// The ids of a listing, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Messages listed.
    pub(super) count: usize,
    /// Octets of the longest id.
    pub(super) longest: usize,
    /// Ids longer than the RFC allows.
    pub(super) long: usize,
    /// Ids with octets outside 0x21 to 0x7E.
    pub(super) odd: usize,
    /// Messages that share their id with an earlier one.
    pub(super) shared: usize,
    /// Messages with an empty id.
    pub(super) empty: usize,
    /// Messages with two ids.
    pub(super) conflicting: usize,
}

impl Shape {
    pub(super) fn of<'a>(ids: impl Iterator<Item = Result<&'a [u8], &'a NoId>>) -> Self {
        let mut shape = Self::default();
        let mut seen: HashMap<&[u8], ()> = HashMap::new();
        for id in ids {
            shape.count += 1;
            match id {
                Err(NoId::Empty) => shape.empty += 1,
                Err(NoId::Conflicting) => shape.conflicting += 1,
                Ok(id) => {
                    shape.longest = shape.longest.max(id.len());
                    shape.long += usize::from(id.len() > ALLOWED);
                    shape.odd += usize::from(!id.iter().all(u8::is_ascii_graphic));
                    shape.shared += usize::from(seen.insert(id, ()).is_some());
                }
            }
        }
        shape
    }

    /// As findings: the shape, then what is odd about it.
    pub(super) fn told(&self) -> Vec<(Level, String)> {
        if self.count == 0 {
            return vec![(Level::Fact, "nothing to list".to_owned())];
        }
        let shape = format!("{} listed, the longest has {} octets", self.count, self.longest);
        let mut told = vec![(Level::Fact, shape)];
        let mut odd = |count: usize, level, text: &str| {
            if count > 0 {
                told.push((level, format!("{count} {text}")));
            }
        };
        odd(self.long, Level::Note, "longer than the 70 octets of RFC 1939; they are kept whole");
        odd(
            self.odd,
            Level::Note,
            "with blanks or octets that are not printable ASCII; they are kept as they are",
        );
        odd(
            self.shared,
            Level::Note,
            "messages share a unique-id with another one: they are told apart by their order, and by their content",
        );
        odd(
            self.empty,
            Level::Warning,
            "messages without a unique-id: they cannot be told apart and stay on the server",
        );
        odd(
            self.conflicting,
            Level::Warning,
            "messages listed with two unique-ids: neither can be trusted, they stay on the server",
        );
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_about_unique_ids_is_counted() {
        let long = [b'x'; 71];
        let (empty, twice) = (NoId::Empty, NoId::Conflicting);
        let ids: Vec<Result<&[u8], &NoId>> = vec![
            Ok(b"a"),
            Ok(b"b"),
            Ok(b"a"),
            Ok(b"a"),
            Ok(b"with blank"),
            Ok(&long),
            Err(&empty),
            Err(&twice),
        ];
        let shape = Shape::of(ids.into_iter());
        let expected = Shape { count: 8, longest: 71, long: 1, odd: 1, shared: 2, empty: 1, conflicting: 1 };
        assert_eq!(shape, expected);
        let warnings = shape.told().into_iter().filter(|(level, _)| *level == Level::Warning).count();
        assert_eq!(warnings, 2);
    }

    #[test]
    fn ordinary_unique_ids_are_one_fact() {
        let shape = Shape::of([Ok(b"0001".as_slice()), Ok(b"0002".as_slice())].into_iter());
        assert_eq!(shape.told(), [(Level::Fact, "2 listed, the longest has 4 octets".to_owned())]);
        assert_eq!(Shape::of(std::iter::empty()).told().len(), 1);
    }
}
