;; Takes 4 GiB at once.
(func (export "handle") (param i32) (result i32) (drop (memory.grow (i32.const 65535))) unreachable)
