-- What is known of the store's bytes without reading them: a cache, made again by hashing and scanning.

-- name: known
SELECT path, inode, size, modified, sha256 FROM known WHERE path = :path;

-- name: remember
INSERT INTO known (path, inode, size, modified, sha256) VALUES (:path, :inode, :size, :modified, :sha256)
ON CONFLICT (path) DO UPDATE SET
    inode = excluded.inode, size = excluded.size, modified = excluded.modified, sha256 = excluded.sha256;

-- name: forget
DELETE FROM known WHERE path = :path;

-- name: census
SELECT place, stamp, names, stats FROM census;

-- name: put_census
INSERT INTO census (place, stamp, names, stats) VALUES (:place, :stamp, :names, :stats)
ON CONFLICT (place) DO UPDATE SET stamp = excluded.stamp, names = excluded.names, stats = excluded.stats;
