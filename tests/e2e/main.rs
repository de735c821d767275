//! The real binary, from outside: its files, its exit codes, what it prints, what servers saw of it.

mod bad_input;
mod cli;
mod crash;
mod examples;
mod hostile;
mod reload;
mod retrieve;
mod support;
