-- One row per job. What was submitted (argv to schedule) never changes; the rest is the job's condition, which
-- ultralab.jobs.states computes. Moments are seconds since the epoch, memory and disk are bytes. argv and cwd are JSON:
-- paths may hold bytes that are no Unicode. recorded: the bytes of the job's events.jsonl that happened; what lies
-- behind them was written by a transaction that never committed.
CREATE TABLE job (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    argv             TEXT    NOT NULL,              -- JSON list
    cwd              TEXT    NOT NULL,              -- JSON string
    name             TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    owner            TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    memory           INTEGER NOT NULL CHECK (memory >= 0),
    gpu              TEXT    NOT NULL CHECK (gpu IN ('none', 'shared', 'exclusive')),
    disk             INTEGER NOT NULL CHECK (disk >= 0),
    network          INTEGER NOT NULL,
    not_before       REAL,
    night            INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    idempotent       INTEGER NOT NULL,
    resumable        INTEGER NOT NULL,
    timeout          REAL,
    schedule         TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    submitted        REAL    NOT NULL,
    fence            INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    interruptions    INTEGER NOT NULL,
    supervisor_pid   INTEGER,
    supervisor_start TEXT,
    reservation      INTEGER,
    started          REAL,
    ended            REAL,
    status           INTEGER,
    cause            TEXT    NOT NULL,
    recorded         INTEGER NOT NULL
) STRICT;

CREATE INDEX job_by_state ON job (state);
CREATE INDEX job_by_name ON job (name, id);

-- A job that waits for another one; how: after its success, or after its end. needs is no reference: a queue that is
-- rebuilt keeps what a job was submitted with, also when the folder of the other one was lost.
CREATE TABLE dependency (
    job   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    needs INTEGER NOT NULL,
    how   TEXT    NOT NULL CHECK (how IN ('success', 'end')),
    PRIMARY KEY (job, needs)
) STRICT, WITHOUT ROWID;

CREATE INDEX dependency_by_need ON dependency (needs);

-- A job that is submitted again and again. spec: what is submitted, as JSON, with its environment; considered: the
-- moment up to which every due moment was dealt with (submitted, or passed over as catch_up says).
CREATE TABLE schedule (
    name       TEXT    PRIMARY KEY,
    cron       TEXT    NOT NULL,
    catch_up   TEXT    NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    paused     INTEGER NOT NULL,
    spec       TEXT    NOT NULL,
    added      REAL    NOT NULL,
    considered REAL    NOT NULL
) STRICT;
