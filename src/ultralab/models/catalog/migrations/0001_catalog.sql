-- One row per metadata file. ``stamp`` is its size, modification time and inode; ``record`` its content as JSON.
CREATE TABLE model (
    file    TEXT PRIMARY KEY,
    stamp   TEXT NOT NULL,
    name    TEXT NOT NULL,
    variant TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    source  TEXT NOT NULL,
    derived INTEGER NOT NULL,
    added   TEXT NOT NULL,
    record  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX model_by_name ON model (name, variant);
CREATE INDEX model_by_sha256 ON model (sha256);
