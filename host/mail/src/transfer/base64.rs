//! Lenient base64 (RFC 2045 section 6.8), in pieces of any size.

#[derive(Default)]
pub(super) struct Decoder {
    /// The last `count` digits, six bits each.
    bits: u32,
    count: u8,
    /// How many more `=` the chunk that just ended is owed.
    owed: u8,
    is_damaged: bool,
}

impl Decoder {
    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut left = octets;
        loop {
            if self.count == 0 && self.owed == 0 {
                left = whole_groups(left, out);
            }
            let Some((byte, rest)) = left.split_first() else { return };
            left = rest;
            match DIGITS[usize::from(*byte)] {
                digit @ 0..64 => self.digit(digit, out),
                PAD => self.pad(out),
                BLANK => {}
                _ => self.is_damaged = true,
            }
        }
    }

    fn digit(&mut self, digit: u8, out: &mut Vec<u8>) {
        self.is_damaged |= self.owed > 0;
        self.owed = 0;
        self.bits = self.bits << 6 | u32::from(digit);
        self.count += 1;
        if self.count == 4 {
            self.flush(out);
        }
    }

    fn pad(&mut self, out: &mut Vec<u8>) {
        match self.count {
            3 => self.owed = 0,
            2 => self.owed = 1,
            0 if self.owed > 0 => self.owed -= 1,
            _ => self.is_damaged = true,
        }
        self.flush(out);
    }

    /// Gives the whole octets among the digits so far.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let bits = self.bits << (6 * (4 - u32::from(self.count)));
        let whole = usize::from(self.count.saturating_sub(1));
        out.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
        self.bits = 0;
        self.count = 0;
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.is_damaged |= self.count > 0 || self.owed > 0;
        self.owed = 0;
        self.flush(out);
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

/// Decodes groups of four digits, and answers what begins with anything else: nearly everything in a line is of such groups.
fn whole_groups<'a>(octets: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    out.reserve(octets.len() / 4 * 3);
    let mut groups = octets.chunks_exact(4);
    let mut done = 0;
    for group in &mut groups {
        let digits = [group[0], group[1], group[2], group[3]].map(|octet| DIGITS[usize::from(octet)]);
        if digits.iter().any(|digit| *digit >= PAD) {
            break;
        }
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | u32::from(*digit));
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
        done += 4;
    }
    &octets[done..]
}

const PAD: u8 = 64;
const BLANK: u8 = 65;
const JUNK: u8 = 66;

/// What each octet stands for.
const DIGITS: [u8; 256] = {
    let mut table = [JUNK; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < 64 {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table[b'=' as usize] = PAD;
    table[b' ' as usize] = BLANK;
    table[b'\t' as usize] = BLANK;
    table[b'\r' as usize] = BLANK;
    table[b'\n' as usize] = BLANK;
    table
};
