;; Keeps the message it only borrowed.
(func (export "handle") (param i32) (result i32) (i32.const 48))
