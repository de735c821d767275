//! The sandbox from outside: real components, built for `wasm32-wasip2`, hostile and well-behaved.

mod behaved;
mod guests;
mod hostile;
mod loading;
mod parser;
