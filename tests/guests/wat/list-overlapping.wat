;; Answers with ten million problems that all lie in the same place.
(func (export "configure") (param i32 i32) (result i32)
  (i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 2048))
  (i32.store (i32.const 264) (i32.const 10000000)) (i32.const 256))
