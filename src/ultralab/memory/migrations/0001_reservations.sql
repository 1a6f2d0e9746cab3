-- One row per reservation. (pid, start) name a process for good; amount is in bytes.
CREATE TABLE reservation (
    id      INTEGER PRIMARY KEY,
    pid     INTEGER NOT NULL,
    start   TEXT    NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    purpose TEXT    NOT NULL,
    since   TEXT    NOT NULL
) STRICT;
