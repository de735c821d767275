//! The contract as Rust, generated from the WIT. Nothing is written by hand here, and nothing leaves this crate.
#![allow(missing_docs, unreachable_pub)]

/// Side of `sdk/wit/plugin.wit`, world `plugin`.
pub(crate) mod plugin {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "plugin",
        imports: { default: trappable },
        with: {
            "postroom:plugin/content.blob": crate::handles::BlobEntry,
            "postroom:plugin/content.writer": postroom_contract::Writer,
            "postroom:plugin/mail.message": crate::handles::MessageEntry,
            "postroom:plugin/mail.part": crate::handles::PartEntry,
            "postroom:plugin/fetch.response": postroom_contract::FetchResponse,
        },
        trappable_error_type: { "postroom:plugin/types.fault" => crate::refusal::Refusal },
    });
}

/// Side of `sdk/wit/plugin.wit`, world `mime`; shares the imports of `plugin`.
pub(crate) mod mime {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "mime",
        imports: { default: trappable },
        with: {
            "postroom:plugin/types": crate::bindings::plugin::postroom::plugin::types,
            "postroom:plugin/content": crate::bindings::plugin::postroom::plugin::content,
            "postroom:plugin/log": crate::bindings::plugin::postroom::plugin::log,
        },
    });
}

/// Side of `wit/baseline.wit`.
pub(crate) mod baseline {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "postroom:baseline/baseline",
        imports: { default: trappable },
        with: {
            "wasi:io/error.error": crate::host::baseline::Nothing,
            "wasi:io/poll.pollable": crate::host::baseline::Timer,
            "wasi:io/streams.input-stream": crate::host::baseline::Nothing,
            "wasi:io/streams.output-stream": crate::host::baseline::Output,
            "wasi:cli/terminal-input.terminal-input": crate::host::baseline::Nothing,
            "wasi:cli/terminal-output.terminal-output": crate::host::baseline::Nothing,
        },
    });
}
