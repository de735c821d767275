;; Calls itself what no plugin can be called.
(data (i32.const 4096) "{\"name\":\"../a\"}")
