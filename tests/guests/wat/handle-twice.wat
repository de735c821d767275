;; Drops a blob twice.
(import "mail" "[method]message.raw" (func $raw (param i32) (result i32)))
(import "content" "[resource-drop]blob" (func $drop (param i32)))
(func (export "handle") (param i32) (result i32) (local $blob i32)
  (local.set $blob (call $raw (local.get 0)))
  (call $drop (local.get $blob))
  (call $drop (local.get $blob))
  (call $drop-message (local.get 0)) (i32.const 48))
