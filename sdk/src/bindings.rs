//! The contract as Rust, generated from `sdk/wit`. Nothing is written by hand here; only `seam/guest.rs` and the
//! export macro use it.
#![allow(missing_docs, unreachable_pub, clippy::all)]

/// World `plugin`.
pub mod plugin {
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "postroom_sdk::bindings::plugin",
    });
}

/// World `mime`; shares its imports with `plugin`.
pub mod mime {
    wit_bindgen::generate!({
        path: "wit",
        world: "mime",
        pub_export_macro: true,
        export_macro_name: "export_mime",
        default_bindings_module: "postroom_sdk::bindings::mime",
        with: {
            "postroom:plugin/types@0.1.0": crate::bindings::plugin::postroom::plugin::types,
            "postroom:plugin/content@0.1.0": crate::bindings::plugin::postroom::plugin::content,
            "postroom:plugin/log@0.1.0": crate::bindings::plugin::postroom::plugin::log,
        },
    });
}
