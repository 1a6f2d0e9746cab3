-- The catalog: an index of models/metadata/*.json, rebuilt from them whenever it is missing or behind.

-- name: seen_files
-- What was read when: a file whose stamp is unchanged is not read again.
SELECT file, stamp FROM model;

-- name: put
INSERT INTO model (file, stamp, name, variant, derived, record)
VALUES (:file, :stamp, :name, :variant, :derived, :record)
ON CONFLICT (file) DO UPDATE SET
    stamp = excluded.stamp, name = excluded.name, variant = excluded.variant, derived = excluded.derived,
    record = excluded.record;

-- name: forget
DELETE FROM model WHERE file = :file;

-- name: everything
SELECT file, stamp, record FROM model WHERE record IS NOT NULL ORDER BY name, derived, variant;

-- name: searched
SELECT file, stamp FROM searched;

-- name: put_searched
INSERT INTO searched (file, stamp) VALUES (:file, :stamp)
ON CONFLICT (file) DO UPDATE SET stamp = excluded.stamp
RETURNING id;

-- name: forget_searched
DELETE FROM searched WHERE file = :file RETURNING id;

-- name: forget_words
DELETE FROM words WHERE rowid = :id;

-- name: put_words
INSERT INTO words (rowid, name, title, tags, family, description, notes, base_models, facts)
VALUES (:id, :name, :title, :tags, :family, :description, :notes, :base_models, :facts);

-- name: matching_words
-- Best first: what stands in the name weighs most (sqlite.org/fts5.html, "The bm25() function").
SELECT searched.file FROM words JOIN searched ON searched.id = words.rowid
WHERE words MATCH :wanted
ORDER BY bm25(words, 10.0, 8.0, 8.0, 5.0, 3.0, 3.0, 2.0, 1.0), searched.file;

-- name: containing_word
-- For words that are shorter than a trigram. Those in front weigh most: a name is before a description.
SELECT searched.file FROM words JOIN searched ON searched.id = words.rowid
WHERE instr(words.name || char(10) || words.title || char(10) || words.tags || char(10) || words.family || char(10)
    || words.description || char(10) || words.notes || char(10) || words.base_models || char(10) || words.facts, :word)
ORDER BY instr(words.name || char(10) || words.title || char(10) || words.tags, :word) = 0, searched.file;
