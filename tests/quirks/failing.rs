//! What cannot pass yet. Both lists only ever get shorter: an entry of the second that passes fails the test.

/// Features that scenarios wait for, and whether they are there.
pub(crate) const NEEDS: &[(&str, bool)] = &[
    ("apop", true),
    ("login", true),
    ("cram-md5", true),
    ("scram-sha-1", true),
    ("scram-sha-256", true),
    ("xoauth2", true),
    ("oauthbearer", true),
    ("pins", true),
    ("tls_minimum", true),
    ("client_certificate", true),
    ("proxy", true),
    ("first", true),
    ("delete over", true),
    ("delete keep", true),
    ("delete when spooled", true),
    ("pipelining", true),
    ("never_delete", true),
];

/// Scenarios that fail, with what was observed.
pub(crate) const FAILING: &[(&str, &str)] = &[];
