//! The real binary, from outside: its files, its exit codes, what it prints, what servers saw of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod auth_flows;
mod bad_input;
mod breakers;
mod canary;
mod cli;
mod crash;
mod damage;
mod deliver_to;
mod examples;
mod fetch;
mod hostile;
mod languages;
mod mailboxes;
mod manifest;
mod mechanisms;
mod memory;
mod oauth;
mod operator;
mod outbox;
mod plugin_guide;
mod plugin_tools;
mod process;
mod registry;
mod reload;
mod resources;
mod retrieve;
mod sign_in;
mod smuggling;
mod support;
mod swaps;
mod switching;
mod two_processes;
mod verbs;
mod versions;
