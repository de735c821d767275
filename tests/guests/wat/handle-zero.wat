;; Uses the handle zero.
(import "mail" "[method]message.size" (func $size (param i32) (result i64)))
(func (export "handle") (param i32) (result i32)
  (drop (call $size (i32.const 0)))
  (call $drop-message (local.get 0)) (i32.const 48))
