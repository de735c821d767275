;; Handles the message, asks for effects, and traps when its answer was read.
(import "effects" "label" (func $label (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $drop-message (local.get 0))
  (call $label (i32.const 1024) (i32.const 4) (i32.const 256))
  (i32.const 48))
(func (export "post-handle") (param i32) unreachable)
(data (i32.const 1024) "late")
