-- What was hashed when: a path (or "blob:<sha256>") whose inode, size and modification time (ns) are unchanged is not
-- read again. The device is left out: an external disk gets another number each time it is plugged in.
CREATE TABLE known (
    path     BLOB PRIMARY KEY,
    inode    INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    sha256   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the last scan saw of a place, packed: a row for each of thousands of files would cost more than looking at them.
CREATE TABLE census (
    place TEXT PRIMARY KEY,
    stamp TEXT NOT NULL,
    names BLOB NOT NULL,
    stats BLOB NOT NULL
) STRICT, WITHOUT ROWID;
