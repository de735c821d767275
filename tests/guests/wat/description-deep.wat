;; Describes itself in a hundred thousand brackets.
(memory (export "memory") 8)
(func (export "describe") (result i32)
  (memory.fill (i32.const 65536) (i32.const 91) (i32.const 100000))
  (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 100000)) (i32.const 16))
