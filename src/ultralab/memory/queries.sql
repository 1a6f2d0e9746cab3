-- name: take
INSERT INTO reservation (pid, start, amount, purpose, since)
VALUES (:pid, :start, :amount, :purpose, :since)
RETURNING id, pid, start, amount, purpose, since;

-- name: give_back
DELETE FROM reservation WHERE id = :id;

-- name: everything
SELECT id, pid, start, amount, purpose, since FROM reservation ORDER BY id;
