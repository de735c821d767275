;; Calls a function of another type than it says.
(type $other (func (param i64)))
(table 1 funcref)
(func $none)
(elem (i32.const 0) $none)
(func (export "handle") (param i32) (result i32) (call_indirect (type $other) (i64.const 1) (i32.const 0)) (i32.const 48))
