//! What a plugin said: log lines and output, bounded and with control characters escaped. Never fails, so that no
//! plugin dies of its own `println!`.

use std::collections::VecDeque;

use postroom_mail::LogLine;
use postroom_mail::rules::neutral;

use crate::limits::Limits;

/// The end of stderr that is kept for the text of a panic, in octets.
const TAIL: usize = 4096;
const FIELDS: usize = 16;
const FIELD_NAME: usize = 64;
const FIELD_VALUE: usize = 1024;

/// What a line, and a field of one, take when they are kept, beside their texts: an empty line is not for nothing.
const LINE_COST: usize = 64;
const FIELD_COST: usize = 16;

/// Octets that a line is counted as.
pub fn kept_size(line: &LogLine) -> u64 {
    let fields = line.fields.iter().map(|(name, value)| name.len() + value.len() + FIELD_COST).sum::<usize>();
    (line.message.len() + fields + LINE_COST) as u64
}

/// Collects the lines of one call.
pub struct Log {
    lines: Vec<LogLine>,
    line: usize,
    lines_left: u32,
    octets_left: u64,
    dropped: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Log {
    /// Empty, with room for what the limits allow.
    pub fn new(limits: &Limits) -> Self {
        Self {
            lines: Vec::new(),
            line: limits.log_line as usize,
            lines_left: limits.log_lines,
            octets_left: limits.log_octets,
            dropped: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: VecDeque::new(),
        }
    }

    /// Adds a line; drops it when there were too many.
    pub fn emit(&mut self, level: &str, message: &str, fields: &[(String, String)]) {
        let message = neutral(message, self.line);
        let fields: Vec<_> = fields
            .iter()
            .take(FIELDS)
            .map(|(name, value)| (neutral(name, FIELD_NAME), neutral(value, FIELD_VALUE)))
            .collect();
        let line = LogLine { level: level.to_owned(), message, fields };
        let size = kept_size(&line);
        if self.lines_left == 0 || size > self.octets_left {
            self.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        self.octets_left -= size;
        self.lines.push(line);
    }

    /// Output: each line is one at level `info`.
    pub fn stdout(&mut self, octets: &[u8]) {
        let mut partial = std::mem::take(&mut self.stdout);
        self.print("info", &mut partial, octets);
        self.stdout = partial;
    }

    /// Error output: each line is one at level `warn`, and its end is kept.
    pub fn stderr(&mut self, octets: &[u8]) {
        self.tail.extend(&octets[octets.len().saturating_sub(TAIL)..]);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        let mut partial = std::mem::take(&mut self.stderr);
        self.print("warn", &mut partial, octets);
        self.stderr = partial;
    }

    fn print(&mut self, level: &str, partial: &mut Vec<u8>, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = (4 * self.line).saturating_sub(partial.len());
            partial.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                self.emit(level, &String::from_utf8_lossy(partial), &[]);
                partial.clear();
            }
        }
    }

    /// The last octets of stderr as text.
    pub fn stderr_tail(&self) -> String {
        let octets: Vec<u8> = self.tail.iter().copied().collect();
        String::from_utf8_lossy(&octets).trim().to_owned()
    }

    /// All lines, unfinished ones too.
    pub fn finish(mut self) -> Vec<LogLine> {
        for (level, partial) in
            [("info", std::mem::take(&mut self.stdout)), ("warn", std::mem::take(&mut self.stderr))]
        {
            if !partial.is_empty() {
                self.emit(level, &String::from_utf8_lossy(&partial), &[]);
            }
        }
        if self.dropped > 0 {
            let message = format!("{} more log lines were dropped: too many", self.dropped);
            self.lines.push(LogLine { level: "warn".to_owned(), message, fields: Vec::new() });
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: Log) -> Vec<String> {
        log.finish().into_iter().map(|line| format!("{} {}", line.level, line.message)).collect()
    }

    #[test]
    fn output_becomes_lines_wherever_it_is_split() {
        let output = b"one\ntwo\n\nlast";
        for at in 0..=output.len() {
            let mut log = Log::new(&Limits::default());
            log.stdout(&output[..at]);
            log.stdout(&output[at..]);
            assert_eq!(texts(log), ["info one", "info two", "info ", "info last"], "split at {at}");
        }
    }

    #[test]
    fn lines_past_the_limit_are_counted_not_kept() {
        let mut log = Log::new(&Limits { log_lines: 2, ..Limits::default() });
        (0..5).for_each(|n| log.emit("info", &n.to_string(), &[]));
        assert_eq!(texts(log), ["info 0", "info 1", "warn 3 more log lines were dropped: too many"]);
    }

    #[test]
    fn the_tail_of_stderr_survives_when_the_log_is_full() {
        let mut log = Log::new(&Limits { log_lines: 0, ..Limits::default() });
        log.stderr(&[b'x'; 3 * TAIL]);
        log.stderr(b"\nthe end\n");
        assert!(log.stderr_tail().ends_with("x\nthe end"));
        assert!(log.stderr_tail().len() <= TAIL);
    }

    #[test]
    fn a_line_without_end_stays_bounded() {
        let mut log = Log::new(&Limits { log_line: 10, ..Limits::default() });
        (0..1000).for_each(|_| log.stdout(&[b'y'; 1000]));
        assert!(log.stdout.len() <= 40);
    }
}
