//! One call into a guest: a fresh store, the limits, the call, and what became of it. The store is always dropped
//! here, whatever happened, so no instance ever sees a second message and none is used after a trap.
//!
//! Epochs alone would measure elapsed ticks: each tick only makes the guest look at the thread's CPU clock. The check
//! reads data and never touches the store.

use std::panic::{AssertUnwindSafe, catch_unwind};

use postroom_contract::{Call, Cause};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::error::cause;
use crate::invocation::Invocation;

/// What became of a call.
pub(crate) struct Returned<T> {
    pub(crate) result: Result<T, Cause>,
    pub(crate) call: Call,
    /// Instructions the guest executed, where the engine counts them.
    pub(crate) fuel: Option<u64>,
}

/// Runs `body` with a store of its own. A panic of a host function is the host's fault and costs one call.
pub(crate) fn run<T>(
    engine: &Engine,
    invocation: Invocation,
    body: impl FnOnce(&mut Store<Invocation>) -> wasmtime::Result<T>,
) -> Returned<T> {
    let mut store = Store::new(engine, invocation);
    store.limiter(|invocation| &mut invocation.memory);
    let limits = &store.data().call.limits;
    let (octets, handles) = (limits.hostcall_octets, limits.handles as usize);
    store.set_hostcall_fuel(usize::try_from(octets).unwrap_or(usize::MAX));
    store.set_max_component_handles(handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().call.meter.check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    // Refused by an engine that does not count, which is every one but that of `plugin bench`.
    let counts = store.set_fuel(u64::MAX).is_ok();
    let result = catch_unwind(AssertUnwindSafe(|| body(&mut store)));
    let fuel = if counts { store.get_fuel().ok().map(|left| u64::MAX - left) } else { None };
    let call = store.into_data().into_call();
    let result = match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(cause(&error, &call.log.stderr_tail())),
        Err(panic) => Err(Cause::Host(format!("a host function panicked: {}", panic_text(&*panic)))),
    };
    Returned { result, call, fuel }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
