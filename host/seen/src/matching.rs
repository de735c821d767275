//! Owns which mails of a server's listing the entries of a state file mean. Must not call a mail seen when another one
//! may have been meant: a mail retrieved twice is a nuisance, a mail never retrieved is a loss.

use std::collections::HashMap;

use crate::{Foreign, Format};

/// What a state file says about a listing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matched {
    /// For each mail of the listing, in its order: the index of its entry, if the mail has been seen.
    pub entries: Vec<Option<usize>>,
    /// How many mails were not called seen because entries could mean them or others.
    pub doubtful: usize,
}

/// Finds each mail of the listing (its unique-ids, one a mail, as the server sent them) among the entries of one mailbox.
///
/// Programs write unique-ids changed or cut ([`Format::written`]). Different unique-ids with one written form count as
/// seen only if there is an entry for each. Of equal unique-ids the first are seen, as many as there are entries.
/// Entries of which only the header was retrieved match nothing.
#[must_use]
pub fn match_listing<U: AsRef<[u8]>>(format: Format, entries: &[Foreign], listing: &[U]) -> Matched {
    let mut written: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.how.is_seen()) {
        written.entry(&entry.uid).or_default().push(index);
    }
    // Which mails each written form may mean.
    let mut meant: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (mail, uid) in listing.iter().enumerate() {
        for form in format.written(uid.as_ref()) {
            if let Some((form, _)) = written.get_key_value(form.as_slice()) {
                meant.entry(form).or_default().push(mail);
            }
        }
    }
    let mut matched = Matched { entries: vec![None; listing.len()], doubtful: 0 };
    let mut doubtful = vec![false; listing.len()];
    for (form, mails) in meant {
        let Some(found) = written.get(form) else { continue };
        let equal = mails.windows(2).all(|pair| listing[pair[0]].as_ref() == listing[pair[1]].as_ref());
        if equal || found.len() >= mails.len() {
            for (mail, entry) in mails.into_iter().zip(found) {
                matched.entries[mail] = Some(*entry);
            }
        } else {
            for mail in mails {
                doubtful[mail] = true;
            }
        }
    }
    let both = matched.entries.iter().zip(doubtful);
    matched.doubtful = both.filter(|(entry, doubtful)| entry.is_none() && *doubtful).count();
    matched
}
