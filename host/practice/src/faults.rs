//! Owns the list of faults a server was told to commit, and how often each is still due. Must not know what a fault
//! means: the sessions do.

use std::sync::{Mutex, PoisonError};

/// How often a fault is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Every time it applies, until the faults are cleared.
    Always,
    /// The next so many times it applies, then never again.
    Next(u32),
}

/// The faults still due, oldest first.
#[derive(Debug)]
pub(crate) struct Faults<F> {
    due: Mutex<Vec<(F, Times)>>,
}

impl<F> Faults<F> {
    pub(crate) fn new(faults: Vec<(F, Times)>) -> Self {
        Self { due: Mutex::new(faults) }
    }

    pub(crate) fn add(&self, fault: F, times: Times) {
        self.lock().push((fault, times));
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The first due fault that `applies` recognises, counted as committed.
    pub(crate) fn take<T>(&self, mut applies: impl FnMut(&F) -> Option<T>) -> Option<T> {
        let mut due = self.lock();
        for (fault, times) in due.iter_mut() {
            if *times == Times::Next(0) {
                continue;
            }
            if let Some(found) = applies(fault) {
                if let Times::Next(left) = times {
                    *left -= 1;
                }
                return Some(found);
            }
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(F, Times)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_committed_as_often_as_told_and_only_where_it_applies() {
        let faults = Faults::new(vec![(7, Times::Next(2)), (8, Times::Always)]);
        let seven = || faults.take(|&fault| (fault == 7).then_some("seven"));
        assert_eq!((seven(), seven(), seven()), (Some("seven"), Some("seven"), None));
        assert!((0..5).all(|_| faults.take(|&fault| (fault == 8).then_some(())).is_some()));
        faults.clear();
        assert_eq!(faults.take(|&fault| Some(fault)), None);
    }
}
