;; Wants 4 GiB to begin with.
(memory (export "memory") 65536)
