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
        for byte in octets {
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
