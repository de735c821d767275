;; Traps when its answer was read.
(func (export "post-describe") (param i32) unreachable)
