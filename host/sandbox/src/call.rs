//! One call into a guest: a fresh store, the limits, the call, and what became of it. The store is always dropped
//! here, whatever happened, so no instance ever sees a second message and none is used after a trap.

use std::panic::{AssertUnwindSafe, catch_unwind};

use postroom_mail::LogLine;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::error::Cause;
use crate::invocation::{Invocation, Queue};
use crate::meter::Usage;

/// What became of a call.
pub(crate) struct Call<T> {
    pub(crate) result: Result<T, Cause>,
    pub(crate) queue: Queue,
    pub(crate) log: Vec<LogLine>,
    pub(crate) usage: Usage,
    /// Instructions the guest executed, where the engine counts them.
    pub(crate) fuel: Option<u64>,
}

/// Runs `body` with a store of its own. A panic of a host function is the host's fault and costs one call.
pub(crate) fn run<T>(
    engine: &Engine,
    invocation: Invocation,
    body: impl FnOnce(&mut Store<Invocation>) -> wasmtime::Result<T>,
) -> Call<T> {
    let mut store = Store::new(engine, invocation);
    store.limiter(|invocation| &mut invocation.meter);
    store.set_hostcall_fuel(usize::try_from(store.data().limits.hostcall_octets).unwrap_or(usize::MAX));
    store.set_max_component_handles(store.data().limits.handles as usize);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().meter.check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    // Refused by an engine that does not count, which is every one but that of `plugin bench`.
    let counts = store.set_fuel(u64::MAX).is_ok();
    let result = catch_unwind(AssertUnwindSafe(|| body(&mut store)));
    let fuel = if counts { store.get_fuel().ok().map(|left| u64::MAX - left) } else { None };
    let mut invocation = store.into_data();
    let usage = invocation.meter.usage();
    let result = match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Cause::of(&error, &invocation.log.stderr_tail())),
        Err(panic) => Err(Cause::Host(format!("a host function panicked: {}", panic_text(&*panic)))),
    };
    Call { result, queue: invocation.take_queue(), log: invocation.log.finish(), usage, fuel }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
