-- name: take
INSERT INTO reservation (pid, start, amount, purpose, since, envelope)
VALUES (:pid, :start, :amount, :purpose, :since, :envelope)
RETURNING id, pid, start, amount, purpose, since, envelope;

-- name: give_back
DELETE FROM reservation WHERE id = :id;

-- name: everything
SELECT id, pid, start, amount, purpose, since, envelope FROM reservation ORDER BY id;
