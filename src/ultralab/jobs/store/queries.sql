-- name: add_job
-- id NULL: the next number that was never used.
INSERT INTO job (
    id, argv, cwd, name, kind, owner, priority, memory, gpu, disk, network, not_before, night, retries, idempotent,
    resumable, timeout, schedule, state, submitted, fence, failures, interruptions, supervisor_pid, supervisor_start,
    reservation, started, ended, status, cause, recorded
) VALUES (
    :id, :argv, :cwd, :name, :kind, :owner, :priority, :memory, :gpu, :disk, :network, :not_before, :night, :retries,
    :idempotent, :resumable, :timeout, :schedule, :state, :submitted, :fence, :failures, :interruptions,
    :supervisor_pid, :supervisor_start, :reservation, :started, :ended, :status, :cause, :recorded
) RETURNING id;

-- name: add_dependency
INSERT INTO dependency (job, needs, how) VALUES (:job, :needs, :how);

-- name: change
UPDATE job SET
    state = :state, submitted = :submitted, fence = :fence, failures = :failures, interruptions = :interruptions,
    supervisor_pid = :supervisor_pid, supervisor_start = :supervisor_start, reservation = :reservation,
    started = :started, ended = :ended, status = :status, cause = :cause, recorded = :recorded
WHERE id = :id;

-- name: one
SELECT
    id, argv, cwd, name, kind, owner, priority, memory, gpu, disk, network, not_before, night, retries, idempotent,
    resumable, timeout, schedule, state, submitted, fence, failures, interruptions, supervisor_pid, supervisor_start,
    reservation, started, ended, status, cause
FROM job WHERE id = :id;

-- name: oldest
-- The ids first: sorting whole rows would take as long as reading them.
SELECT
    id, argv, cwd, name, kind, owner, priority, memory, gpu, disk, network, not_before, night, retries, idempotent,
    resumable, timeout, schedule, state, submitted, fence, failures, interruptions, supervisor_pid, supervisor_start,
    reservation, started, ended, status, cause
FROM job
WHERE id IN (SELECT id FROM job WHERE state IN (SELECT value FROM json_each(:states))) ORDER BY id LIMIT :most;

-- name: newest
SELECT
    id, argv, cwd, name, kind, owner, priority, memory, gpu, disk, network, not_before, night, retries, idempotent,
    resumable, timeout, schedule, state, submitted, fence, failures, interruptions, supervisor_pid, supervisor_start,
    reservation, started, ended, status, cause
FROM job
WHERE id IN (SELECT id FROM job WHERE state IN (SELECT value FROM json_each(:states))) ORDER BY id DESC LIMIT :most;

-- name: dependencies_of
SELECT job, needs, how FROM dependency WHERE job = :id ORDER BY needs;

-- name: dependencies
SELECT job, needs, how FROM dependency WHERE job BETWEEN :low AND :high ORDER BY job, needs;

-- name: dependents
SELECT job, needs FROM dependency WHERE needs IN (SELECT value FROM json_each(:ids));

-- name: recorded
SELECT recorded FROM job WHERE id = :id;

-- name: states
SELECT id, state FROM job WHERE id IN (SELECT value FROM json_each(:ids));

-- name: counts
SELECT state, count(*) FROM job GROUP BY state;

-- name: ids
SELECT id FROM job ORDER BY id;

-- name: last_id
SELECT max(id) FROM job;

-- name: last_twice
-- By the table, and as the index finds it: an index that lost its entries would hide the rows.
SELECT last.id, (SELECT max(id) FROM job INDEXED BY job_by_state WHERE state = last.state)
FROM (SELECT id, state FROM job ORDER BY id DESC LIMIT 1) AS last;

-- name: last_named
SELECT max(id) FROM job WHERE name = :name;

-- name: names
SELECT name FROM job GROUP BY name ORDER BY max(id) DESC LIMIT :most;

-- name: remove
DELETE FROM job WHERE id IN (SELECT value FROM json_each(:ids));

-- name: highest
-- The highest number ever given out (sqlite.org/autoinc.html).
SELECT seq FROM sqlite_sequence WHERE name = 'job';

-- name: forget_highest
DELETE FROM sqlite_sequence WHERE name = 'job';

-- name: set_highest
INSERT INTO sqlite_sequence (name, seq) VALUES ('job', :highest);

-- name: add_schedule
INSERT INTO schedule (name, cron, catch_up, paused, spec, added, considered)
VALUES (:name, :cron, :catch_up, :paused, :spec, :added, :considered);

-- name: schedules
SELECT name, cron, catch_up, paused, spec, added, considered FROM schedule ORDER BY name;

-- name: schedule
SELECT name, cron, catch_up, paused, spec, added, considered FROM schedule WHERE name = :name;

-- name: change_schedule
UPDATE schedule SET paused = :paused, considered = :considered WHERE name = :name;

-- name: remove_schedule
DELETE FROM schedule WHERE name = :name RETURNING name;

-- name: consider_submitted
-- What a schedule has submitted was dealt with.
UPDATE schedule SET considered = max(
    considered, (SELECT coalesce(max(job.submitted), considered) FROM job WHERE job.schedule = schedule.name)
);

-- name: could_start
-- Whether something waits that neither a moment nor another job keeps from starting.
SELECT EXISTS (
    SELECT 1 FROM job
    WHERE job.state = 'queued' AND NOT job.night AND (job.not_before IS NULL OR job.not_before <= :now)
    AND NOT EXISTS (
        SELECT 1 FROM dependency JOIN job AS needed ON needed.id = dependency.needs
        WHERE dependency.job = job.id AND needed.state <> 'succeeded'
        AND NOT (dependency.how = 'end' AND needed.state IN ('failed', 'cancelled', 'interrupted'))
    )
) AS found;
