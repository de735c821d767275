;; Traps while it starts.
(func $start unreachable)
(start $start)
