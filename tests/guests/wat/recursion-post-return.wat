;; Calls itself when its answer was read.
(func $deep (param i32) (call $deep (local.get 0)) (call $deep (local.get 0)))
(export "post-describe" (func $deep))
