;; Says what it is in what is no UTF-8.
(func (export "describe") (result i32)
  (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 3)) (i32.const 16))
(data (i32.const 1024) "\ed\a0\80")
