-- The catalog: an index of models/metadata/*.json, rebuilt from them whenever it is missing or behind.

-- name: seen_files
-- What was read when: a file whose stamp is unchanged is not read again.
SELECT file, stamp FROM model;

-- name: put
INSERT INTO model (file, stamp, name, variant, sha256, source, derived, added, record)
VALUES (:file, :stamp, :name, :variant, :sha256, :source, :derived, :added, :record)
ON CONFLICT (file) DO UPDATE SET
    stamp = excluded.stamp, name = excluded.name, variant = excluded.variant, sha256 = excluded.sha256,
    source = excluded.source, derived = excluded.derived, added = excluded.added, record = excluded.record;

-- name: forget
DELETE FROM model WHERE file = :file;

-- name: everything
SELECT file, record FROM model ORDER BY name, derived, variant;
