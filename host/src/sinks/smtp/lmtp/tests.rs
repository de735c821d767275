//! Each recipient has an answer of its own.
