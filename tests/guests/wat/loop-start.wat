;; Never starts.
(func $start (loop $l (br $l)))
(start $start)
