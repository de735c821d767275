;; Lets the host put a refusal behind the end of its memory.
(import "effects" "label" (func $label (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $label (i32.const 1024) (i32.const 0) (i32.const -4)) (call $drop-message (local.get 0)) (i32.const 48))
