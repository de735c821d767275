;; Writes its whole memory again and again, with one instruction at a time.
(memory (export "memory") 200)
(func (export "handle") (param i32) (result i32)
  (loop $l (memory.fill (i32.const 100000) (i32.const 1) (i32.const 13000000)) (br $l))
  unreachable)
