;; Lets its table grow without end.
(table $t 1 funcref)
(func (export "handle") (param i32) (result i32)
  (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
  unreachable)
