-- The index is disposable. A row says of which reading of its file it is (``stamp``), so what an older ultralab wrote is
-- read anew; a file that cannot be read has a row without a record, so that it is not read at every question.
DROP TABLE model;

CREATE TABLE model (
    file    TEXT PRIMARY KEY,
    stamp   TEXT NOT NULL,
    name    TEXT NOT NULL,
    variant TEXT NOT NULL,
    derived INTEGER NOT NULL,
    record  TEXT
) STRICT, WITHOUT ROWID;

-- What is searched of a model, and of which reading of its file and of its family's page that is.
CREATE TABLE searched (
    id    INTEGER PRIMARY KEY,
    file  TEXT NOT NULL UNIQUE,
    stamp TEXT NOT NULL
) STRICT;

-- The texts, folded (one case, one form of each letter). Trigrams find parts of words, and Chinese, which has no spaces.
CREATE VIRTUAL TABLE words USING fts5 (
    name, title, tags, family, description, notes, base_models, facts,
    tokenize = 'trigram case_sensitive 1'
);
