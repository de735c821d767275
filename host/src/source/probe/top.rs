//! What an answer to `TOP n 0` holds: the header, and perhaps more than was asked for. Pure; keeps a digest, no mail.

use postroom_mail::Digest;
use postroom_mail::ids::Digester;

/// An extra line end after the header is nobody's harm.
const HARMLESS: u64 = 2;

/// An answer as it passes.
pub(super) struct Shown {
    octets: u64,
    /// Octets up to and with the first blank line.
    header: Option<u64>,
    blank: bool,
    digester: Digester,
}

impl Default for Shown {
    fn default() -> Self {
        Self { octets: 0, header: None, blank: true, digester: Digester::default() }
    }
}

impl Shown {
    pub(super) fn take(&mut self, octets: &[u8]) {
        self.digester.update(octets);
        for &octet in octets {
            self.octets += 1;
            match octet {
                b'\n' => {
                    if self.blank && self.header.is_none() {
                        self.header = Some(self.octets);
                    }
                    self.blank = true;
                }
                b'\r' => {}
                _ => self.blank = false,
            }
        }
    }

    /// Octets in all.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether there was a blank line.
    pub(super) fn ended(&self) -> bool {
        self.header.is_some()
    }

    /// Octets beyond the header, though none was asked for.
    pub(super) fn beyond(&self) -> u64 {
        let beyond = self.octets - self.header.unwrap_or(self.octets);
        if beyond > HARMLESS { beyond } else { 0 }
    }

    /// Of all octets.
    pub(super) fn digest(self) -> Digest {
        self.digester.finish()
    }
}

/// The message to try `TOP` on, by the sizes listed: large enough to have a body, and no larger than need be.
pub(super) fn suitable<N: Copy>(sizes: impl Iterator<Item = (N, Option<u64>)>) -> Option<N> {
    const BODY: u64 = 4096;
    // Those with a body come first, the smallest of them before the others; then the largest of the rest.
    let order = |size: u64| if size >= BODY { (0, size) } else { (1, BODY - size) };
    sizes.min_by_key(|(_, size)| order(size.unwrap_or(0))).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(answer: &[u8]) -> (bool, u64) {
        let mut results = (1..=answer.len()).map(|piece| {
            let mut shown = Shown::default();
            answer.chunks(piece).for_each(|chunk| shown.take(chunk));
            assert_eq!(shown.octets(), answer.len() as u64);
            (shown.ended(), shown.beyond())
        });
        let first = results.next().unwrap();
        assert!(results.all(|other| other == first), "the same however it is cut");
        first
    }

    #[test]
    fn a_header_alone_is_told_from_more() {
        assert_eq!(shown(b"A: b\r\nC: d\r\n\r\n"), (true, 0));
        assert_eq!(shown(b"A: b\r\nC: d\r\n"), (false, 0));
        assert_eq!(shown(b"A: b\n\nbody\n"), (true, 5));
        assert_eq!(shown(b"A: b\r\n\r\n\r\n"), (true, 0), "one more blank line is no body");
        assert_eq!(shown(b"\r\n"), (true, 0));
    }

    #[test]
    fn the_smallest_message_with_a_body_is_suitable_else_the_largest() {
        let of = |sizes: &[Option<u64>]| suitable(sizes.iter().copied().enumerate());
        assert_eq!(of(&[Some(100), Some(90_000), Some(5000), Some(7000)]), Some(2));
        assert_eq!(of(&[Some(100), Some(900), Some(300)]), Some(1));
        assert_eq!(of(&[None, None]), Some(0));
        assert_eq!(of(&[]), None);
    }
}
