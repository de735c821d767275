//! Filed once.
