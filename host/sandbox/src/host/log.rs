//! `log`: lines for the operator.

use wasmtime::Result;

use crate::bindings::plugin::postroom::plugin::log;
use crate::invocation::Invocation;

impl log::Host for Invocation {
    fn emit(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> Result<()> {
        let level = match level {
            log::Level::Trace => "trace",
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.call.log.emit(level, &message, &fields);
        Ok(())
    }
}
