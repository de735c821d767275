;; Hands out memory that is not aligned.
(import "mail" "[method]message.labels" (func $labels (param i32 i32)))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65537))
(func (export "handle") (param i32) (result i32)
  (call $labels (local.get 0) (i32.const 256)) (call $drop-message (local.get 0)) (i32.const 48))
