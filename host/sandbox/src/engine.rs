//! The engine: how guests are compiled and where their memory comes from.
//!
//! Everything is synchronous. Guests are called on the caller's own (blocking) thread with a large stack: no fibers, no
//! component-model async, no futures that could be dropped half way, which is where most advisories of 2026 were.
//! Time is limited by epochs: a plain thread ticks, and the guest looks at its meter (see `meter`).
//!
//! Memory comes from a pool of 4 GiB reservations, which lets bounds checks be left out. That costs address space, so
//! it is tried first, and what cannot be had is left out: page scanning where the kernel lacks it, then the pool.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use postroom_contract::MEMORY_MAX;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig,
};

use crate::error::LoadError;

/// Between two looks of a running guest at its meter.
const TICK: Duration = Duration::from_millis(10);
const WASM_STACK: usize = 512 << 10;
/// Calls at once, at most: what 256 workers need, with their parser.
const CONCURRENCY: u32 = 520;
const RESERVATION: u64 = 4 << 30;

/// How the sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where compiled code is kept between runs; must be writable by nobody else. `None` compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// Calls at the same time. More are refused, not queued.
    pub concurrency: u32,
    /// Count the instructions of guests as fuel. For measuring only: it makes guests slower, and nothing is limited by it.
    pub fuel: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { cache_dir: None, concurrency: 8, fuel: false }
    }
}

/// Where the memory of guests comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// A pool whose slots are reset by scanning for touched pages (Linux 6.7 and newer).
    PoolWithScan,
    /// A pool.
    Pool,
    /// Mapped for each call: slower.
    OnDemand,
}

/// The best engine this machine can have.
pub(crate) fn build(
    config: &SandboxConfig,
    cache: Option<&Cache>,
) -> Result<(Engine, Allocation), LoadError> {
    let mut problem = String::new();
    for allocation in [Allocation::PoolWithScan, Allocation::Pool, Allocation::OnDemand] {
        match Engine::new(&settings(config, allocation, cache.cloned())) {
            Ok(engine) => {
                if allocation != Allocation::PoolWithScan {
                    tracing::info!(?allocation, problem, "guests get their memory in a slower way");
                }
                return tick(&engine).map(|()| (engine, allocation));
            }
            Err(error) => problem = format!("{error:#}"),
        }
    }
    Err(LoadError::Engine(problem))
}

/// An engine that only fills the cache, for a process that ends then, and the cache, which counts what it had. Where memory
/// would come from does not change the code, so what it compiles is what [`build`]'s engines find.
pub(crate) fn for_compiling(directory: &Path, fuel: bool) -> Result<(Engine, Cache), LoadError> {
    let cache = open_cache(directory)?;
    let sandbox = SandboxConfig { concurrency: 1, fuel, ..SandboxConfig::default() };
    let engine = Engine::new(&settings(&sandbox, Allocation::OnDemand, Some(cache.clone())));
    engine.map(|engine| (engine, cache)).map_err(|error| LoadError::Engine(format!("{error:#}")))
}

pub(crate) fn open_cache(directory: &Path) -> Result<Cache, LoadError> {
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    Cache::new(config)
        .map_err(|error| LoadError::Engine(format!("compile cache {}: {error:#}", directory.display())))
}

/// What no plugin needs is switched off; what is off is not there to be attacked.
fn settings(sandbox: &SandboxConfig, allocation: Allocation, cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .consume_fuel(sandbox.fuel)
        // Which NaN an operation gives is the processor's choice otherwise, and a plugin could let it decide. Costs a compare
        // and a select for each operation on floats: plugins have few.
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK)
        .memory_reservation(RESERVATION)
        .cache(cache)
        .concurrency_support(false)
        .gc_support(false)
        .wasm_component_model(true)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_threads(false)
        .wasm_shared_everything_threads(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_stack_switching(false);
    if allocation != Allocation::OnDemand {
        let scan = if allocation == Allocation::PoolWithScan { Enabled::Yes } else { Enabled::No };
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(sandbox.concurrency, scan)));
    }
    config
}

/// A call may need a second instance, for the MIME parser: `concurrency` counts both. Memory is taken when it is used; what
/// is reserved here is addresses.
fn pool(concurrency: u32, scan: Enabled) -> PoolingAllocationConfig {
    let instances = concurrency.clamp(1, CONCURRENCY) + 2;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(32 * instances)
        .total_memories(4 * instances)
        .total_tables(16 * instances)
        .max_core_instances_per_component(64)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_memories_per_module(1)
        .table_elements(100_000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(10 << 20)
        .max_memory_size(MEMORY_MAX as usize)
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(4)
        .decommit_batch_size(1)
        .pagemap_scan(scan);
    pool
}

/// Ticks until the engine is gone. A thread of its own, so that no busy guest can hold it up.
fn tick(engine: &Engine) -> Result<(), LoadError> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let spawned = thread::Builder::new().name("sandbox-ticker".to_owned()).spawn(ticker);
    spawned.map(drop).map_err(|error| LoadError::Engine(format!("no thread for the ticker: {error}")))
}
