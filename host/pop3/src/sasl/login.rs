//! The LOGIN mechanism (never standardised, draft-murchison-sasl-login): user name, then password,
//! each asked for by a challenge.
//!
//! Owns the order. What the challenges say is not looked at: servers word them freely, and an answer
//! that depended on them would let a server ask for the password where the name belongs.

use zeroize::Zeroizing;

use super::join;

/// What is still to be said.
pub(crate) struct Login {
    answers: [Zeroizing<Vec<u8>>; 2],
    said: usize,
}

impl Login {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self { answers: [join(&[user.as_bytes()]), join(&[password.as_bytes()])], said: 0 }
    }

    /// The next answer; `None` when both were given.
    pub(crate) fn answer(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let answer = self.answers.get_mut(self.said).map(std::mem::take);
        self.said += 1;
        answer
    }

    pub(crate) fn complete(&self) -> bool {
        self.said >= self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_before_the_password_and_nothing_after_it() {
        let mut login = Login::new("alice", "secret");
        assert_eq!(&**login.answer().unwrap(), b"alice");
        assert!(!login.complete());
        assert_eq!(&**login.answer().unwrap(), b"secret");
        assert!(login.complete() && login.answer().is_none());
    }
}
