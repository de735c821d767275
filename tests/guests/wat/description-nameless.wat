;; Has no name.
(data (i32.const 4096) "[\"name\"]")
