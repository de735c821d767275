;; Describes itself in what is no JSON.
(data (i32.const 4096) "{\"name\":\1b[2J")
