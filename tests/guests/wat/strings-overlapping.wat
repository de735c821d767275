;; Logs four thousand fields of 64 KiB which are all the same octets.
(import "log" "emit" (func $emit (param i32 i32 i32 i32 i32)))
(memory (export "memory") 4)
(func (export "handle") (param i32) (result i32) (local $at i32)
  (local.set $at (i32.const 131072))
  (loop $l
    (i32.store (local.get $at) (i32.const 0)) (i32.store offset=4 (local.get $at) (i32.const 65536))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $l (i32.lt_u (local.get $at) (i32.const 196608))))
  (call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 131072) (i32.const 4096))
  (call $drop-message (local.get 0)) (i32.const 48))
