;; Traps where the host wants memory.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
