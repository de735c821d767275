//! What the environment variable asks for, and doing it. Reads it once.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What to do where.
struct Orders {
    log: Option<File>,
    kill: HashMap<String, u64>,
    fail: HashMap<String, Failure>,
    /// How often each name was reached.
    reached: Mutex<HashMap<String, u64>>,
}

struct Failure {
    from: u64,
    always: bool,
    errno: i32,
}

/// Counts, writes down, kills; answers the error that is to be returned there.
pub(crate) fn reach(place: &dyn Display, stage: &str) -> Option<io::Error> {
    static ORDERS: OnceLock<Option<Orders>> = OnceLock::new();
    let orders = ORDERS.get_or_init(read).as_ref()?;
    let name = format!("{place}/{stage}").replace(' ', "-");
    let mut reached = orders.reached.lock().unwrap_or_else(PoisonError::into_inner);
    let count = reached.entry(name.clone()).or_insert(0);
    *count += 1;
    if let Some(mut log) = orders.log.as_ref() {
        // One write for each line, and the file is opened for appending: lines of several threads never mix.
        let _ = log.write_all(format!("{name}\n").as_bytes());
    }
    if orders.kill.get(&name) == Some(count) {
        die();
    }
    let failure = orders.fail.get(&name)?;
    let due = if failure.always { *count >= failure.from } else { *count == failure.from };
    due.then(|| io::Error::from_raw_os_error(failure.errno))
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way; nothing more may happen until it is there.
    loop {
        std::thread::park();
    }
}

fn read() -> Option<Orders> {
    let words = std::env::var(super::VARIABLE).ok()?;
    let (mut kill, mut fail, mut log) = (HashMap::new(), HashMap::new(), None);
    for word in words.split_ascii_whitespace() {
        let Some((what, value)) = word.split_once('=') else { refuse(word) };
        match what {
            "log" => {
                let file = OpenOptions::new().append(true).create(true).open(value);
                log = Some(file.unwrap_or_else(|_| refuse(word)));
            }
            "kill" => {
                let (name, count) = value.split_once('#').unwrap_or((value, "1"));
                kill.insert(name.to_owned(), count.parse().unwrap_or_else(|_| refuse(word)));
            }
            "fail" => {
                let Some((name, how)) = value.split_once('#') else { refuse(word) };
                let Some((from, errno)) = how.split_once(':') else { refuse(word) };
                let always = from.ends_with('+');
                let from = from.trim_end_matches('+').parse().unwrap_or_else(|_| refuse(word));
                let errno = errno.parse().unwrap_or_else(|_| refuse(word));
                fail.insert(name.to_owned(), Failure { from, always, errno });
            }
            _ => refuse(word),
        }
    }
    Some(Orders { log, kill, fail, reached: Mutex::default() })
}

/// A test that asks for what does not exist must not pass.
fn refuse(word: &str) -> ! {
    eprintln!("{}: {word:?} is not understood", super::VARIABLE);
    std::process::exit(70)
}
