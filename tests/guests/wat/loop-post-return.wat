;; Never gives back the memory of its answer.
(func (export "post-describe") (param i32) (loop $l (br $l)))
