;; Logs what is no UTF-8.
(import "log" "emit" (func $emit (param i32 i32 i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $emit (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0))
  (call $drop-message (local.get 0)) (i32.const 48))
(data (i32.const 1024) "\ff\fe\c0\80")
