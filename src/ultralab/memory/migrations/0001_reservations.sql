-- One row per reservation. (pid, start) name a process for good; amount is in bytes. An id is never used again, so
-- that a second release of one reservation cannot hit another.
CREATE TABLE reservation (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    pid     INTEGER NOT NULL,
    start   TEXT    NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    purpose TEXT    NOT NULL,
    since   TEXT    NOT NULL
) STRICT;
