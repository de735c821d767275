;; Logs from behind the end of its memory.
(import "log" "emit" (func $emit (param i32 i32 i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $emit (i32.const 0) (i32.const -16) (i32.const 64) (i32.const 0) (i32.const 0))
  (call $drop-message (local.get 0)) (i32.const 48))
