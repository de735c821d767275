;; Fails with what is no UTF-8.
(func (export "handle") (param i32) (result i32)
  (call $drop-message (local.get 0))
  (i32.store (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 1))
  (i32.store (i32.const 264) (i32.const 1024)) (i32.store (i32.const 268) (i32.const 2)) (i32.const 256))
(data (i32.const 1024) "\80\80")
