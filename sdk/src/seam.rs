//! Where the SDK meets the host. Two sides with the same names: the real contract when compiled to WebAssembly, a
//! host given by the caller natively. Nothing outside this module knows which one it talks to.

#[cfg(target_family = "wasm")]
pub(crate) mod guest;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;

#[cfg(target_family = "wasm")]
pub(crate) use guest::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
