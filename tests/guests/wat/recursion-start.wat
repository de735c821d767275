;; Calls itself while it starts.
(func $start (call $start) (call $start))
(start $start)
