//! Where a message was delivered on its way here.

use postroom_sdk::Message;

use crate::settings::is_one_of;

/// The recipients that the message was not delivered to before, by its Delivered-To fields: each of them stands for a
/// mailbox on its way here.
pub(crate) fn unvisited(message: &Message, to: &[String]) -> Vec<String> {
    let visited = message.header_all("Delivered-To");
    let visited: Vec<String> =
        visited.iter().map(|path| path.trim().trim_matches(['<', '>']).to_owned()).collect();
    to.iter().filter(|to| !is_one_of(to, &visited)).cloned().collect()
}
