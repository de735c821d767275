;; Reads past the end of its memory.
(func (export "handle") (param i32) (result i32) (i32.load (i32.const -8)))
