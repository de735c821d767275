//! The sandbox: an engine, what is linked into guests, and the components that were loaded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use postroom_contract::{Capability, Limits, MEMORY_MAX, StepConfig};
use postroom_mail::{Digest, Name};
use serde_json::Value;
use wasmtime::component::{Component as Compiled, Linker};
use wasmtime::{Cache, Engine};

use crate::bindings::{mime, plugin};
use crate::call::{self, Returned};
use crate::compile::{Apart, Compiler};
use crate::component::{Import, Outline, World};
use crate::engine::{self, Allocation, SandboxConfig};
use crate::error::LoadError;
use crate::invocation::{Invocation, link_mime, link_plugin};
use crate::mime::Mime;
use crate::plugin::Plugin;

/// Octets `describe` may answer.
const DESCRIPTION_CAP: usize = 256 << 10;

/// Where plugins run. One for the whole process.
pub struct Sandbox {
    engine: Engine,
    allocation: Allocation,
    plugin: Linker<Invocation>,
    mime: Linker<Invocation>,
    cache: Option<Cache>,
    apart: Option<Apart>,
    /// Held while one is loaded: whether the cache had it is known by its counts.
    loading: Mutex<()>,
}

/// A loaded plugin, not yet admitted to a step. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    pub(crate) outline: Arc<Outline>,
    pub(crate) pre: plugin::PluginPre<Invocation>,
    description: Arc<Value>,
}

/// What `plugin inspect` shows, also of a component that cannot be loaded.
#[derive(Debug)]
pub struct Inspection {
    /// SHA-256 of the octets.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// What it wants.
    pub imports: Vec<Import>,
    /// What it offers.
    pub exports: Vec<String>,
    /// What it says of itself, when it could be loaded.
    pub description: Option<Value>,
    /// Why it could not.
    pub problem: Option<LoadError>,
}

impl Sandbox {
    /// Sets the engine up and starts its ticker. Components are compiled in this process, without limits.
    ///
    /// # Errors
    /// When this machine cannot run guests, or the cache directory cannot be used.
    pub fn new(config: &SandboxConfig) -> Result<Self, LoadError> {
        let cache = config.cache_dir.as_deref().map(engine::open_cache).transpose()?;
        let (engine, allocation) = engine::build(config, cache.as_ref())?;
        let linker = |link: fn(&mut Linker<Invocation>) -> wasmtime::Result<()>| {
            let mut linker = Linker::new(&engine);
            link(&mut linker).map(|()| linker).map_err(|error| LoadError::Engine(format!("{error:#}")))
        };
        Ok(Self {
            plugin: linker(link_plugin)?,
            mime: linker(link_mime)?,
            engine,
            allocation,
            cache,
            apart: None,
            loading: Mutex::default(),
        })
    }

    /// As [`Sandbox::new`]; but what is not among the compiler's trusted components is compiled by a child, within limits,
    /// before this process does more than look at its sections.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn with_compiler(config: &SandboxConfig, compiler: Compiler) -> Result<Self, LoadError> {
        let apart = Apart::new(compiler, config.cache_dir.as_deref(), config.fuel)?;
        let config = SandboxConfig { cache_dir: Some(apart.cache().to_owned()), ..config.clone() };
        Ok(Self { apart: Some(apart), ..Self::new(&config)? })
    }

    /// How many components were found compiled, and how many were not.
    pub fn cache_use(&self) -> (usize, usize) {
        self.cache.as_ref().map_or((0, 0), |cache| (cache.cache_hits(), cache.cache_misses()))
    }

    /// Where the memory of guests comes from on this machine.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// Checks, compiles and links a plugin, and asks it to describe itself. Takes tens of milliseconds or more.
    ///
    /// # Errors
    /// When the octets are no plugin, want what no plugin is given, or do not work.
    pub fn load(&self, octets: &[u8]) -> Result<Component, LoadError> {
        let outline = Outline::read(octets, World::Plugin)?;
        self.load_outlined(octets, outline)
    }

    fn load_outlined(&self, octets: &[u8], outline: Outline) -> Result<Component, LoadError> {
        outline.check(World::Plugin)?;
        let compiled = self.compile(octets, &outline)?;
        let pre = self.plugin.instantiate_pre(&compiled).and_then(plugin::PluginPre::new).map_err(refused)?;
        let description = describe(&pre)?;
        Ok(Component { outline: Arc::new(outline), pre, description: Arc::new(description) })
    }

    /// Loads the MIME parser.
    ///
    /// # Errors
    /// As [`Sandbox::load`].
    pub fn load_mime(&self, octets: &[u8]) -> Result<Mime, LoadError> {
        let outline = Outline::read(octets, World::Mime)?;
        outline.check(World::Mime)?;
        let compiled = self.compile(octets, &outline)?;
        let pre = self.mime.instantiate_pre(&compiled).and_then(mime::MimePre::new).map_err(refused)?;
        Ok(Mime::new(pre, outline.digest))
    }

    /// Everything that can be said about a component.
    ///
    /// # Errors
    /// When the octets are no component at all.
    pub fn inspect(&self, octets: &[u8]) -> Result<Inspection, LoadError> {
        let outline = Outline::read(octets, World::Plugin)?;
        let loaded = self.load_outlined(octets, outline.clone());
        let (description, problem) = match loaded {
            Ok(component) => (Some(component.description().clone()), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Inspection {
            digest: outline.digest,
            size: outline.size,
            imports: outline.imports.to_vec(),
            exports: outline.exports,
            description,
            problem,
        })
    }

    fn compile(&self, octets: &[u8], outline: &Outline) -> Result<Compiled, LoadError> {
        let Some(apart) = &self.apart else { return self.compile_here(octets) };
        apart.prepare(outline.digest, octets)?;
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, _) = self.cache_use();
        let compiled = self.compile_here(octets)?;
        match self.cache_use() {
            (hits, _) if hits == before && !apart.trusts(outline.digest) => {
                Err(apart.not_kept(outline.digest))
            }
            _ => Ok(compiled),
        }
    }

    /// Or finds it in the cache. A panic of the compiler costs one component, not the host.
    fn compile_here(&self, octets: &[u8]) -> Result<Compiled, LoadError> {
        let compiled = catch_unwind(AssertUnwindSafe(|| Compiled::from_binary(&self.engine, octets)));
        compiled.map_err(|_| LoadError::Refused("the compiler panicked".to_owned()))?.map_err(refused)
    }
}

impl Component {
    /// SHA-256 of the octets it was loaded from.
    pub fn digest(&self) -> Digest {
        self.outline.digest
    }

    /// How many there were.
    pub fn size(&self) -> u64 {
        self.outline.size
    }

    /// What it wants.
    pub fn imports(&self) -> &[Import] {
        &self.outline.imports
    }

    /// What it says of itself: name, version, description, settings (a JSON Schema).
    pub fn description(&self) -> &Value {
        &self.description
    }

    /// Admits it to a step: everything it imports must be granted, and it must accept its settings.
    ///
    /// # Errors
    /// When it does not, or a limit is out of range.
    pub fn admit(&self, config: StepConfig) -> Result<Plugin, LoadError> {
        config.limits.check().map_err(LoadError::Limits)?;
        let (size, limit) = (self.outline.size, config.limits.component);
        if size > limit {
            return Err(LoadError::TooLarge { size, limit });
        }
        let wanted =
            self.outline.imports.iter().filter_map(|import| Some((&import.name, import.capability?)));
        let (ungranted, capabilities): (Vec<String>, Vec<Capability>) = wanted
            .filter(|(_, capability)| !config.grants.allow(*capability))
            .map(|(name, capability)| (name.clone(), capability))
            .unzip();
        if !ungranted.is_empty() {
            let line = config.grants.line_with_all(&capabilities);
            return Err(LoadError::Ungranted { imports: ungranted, line });
        }
        Plugin::new(self.clone(), config).try_settings()
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("digest", &self.outline.digest).finish_non_exhaustive()
    }
}

fn describe(pre: &plugin::PluginPre<Invocation>) -> Result<Value, LoadError> {
    // Before admission no limits of a step are known.
    let limits = Limits { memory: MEMORY_MAX, ..Limits::default() };
    let Returned { result, call, fuel: _ } = call::run(pre.engine(), Invocation::idle(&limits), |store| {
        pre.instantiate(&mut *store)?.postroom_plugin_handler().call_describe(store)
    });
    let text = result
        .map_err(|cause| LoadError::Failed { function: "describe", error: Box::new(call.failed(cause)) })?;
    if text.len() > DESCRIPTION_CAP {
        return Err(LoadError::Description(format!("{} octets are too many", text.len())));
    }
    let value: Value =
        serde_json::from_str(&text).map_err(|error| LoadError::Description(error.to_string()))?;
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    Name::new(name).map_err(|error| LoadError::Description(error.to_string()))?;
    Ok(value)
}

fn refused(error: wasmtime::Error) -> LoadError {
    LoadError::Refused(format!("{error:#}"))
}
