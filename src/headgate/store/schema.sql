-- The whole schema as it is now, for reading. What is applied are the migrations; a test proves that they make this.

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store TEXT NOT NULL,
    -- The largest number ever given to an attempt or a version. It never goes down.
    last_id INTEGER NOT NULL
);

CREATE TABLE dataset (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE run (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    service_class TEXT NOT NULL DEFAULT 'backfill',
    -- A JSON object of what was changed while it lives; empty for nothing.
    controls TEXT NOT NULL DEFAULT '',
    -- Last, because it can be long: the columns before it are read without it.
    plan TEXT NOT NULL DEFAULT ''
);

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    path TEXT NOT NULL,
    expects INTEGER,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    error_class TEXT,
    error TEXT,
    hint TEXT,
    traceback TEXT
);

CREATE INDEX attempt_task ON attempt (run, dataset, key);
CREATE INDEX attempt_running ON attempt (id) WHERE state = 'running';
CREATE INDEX attempt_uncollected ON attempt (id) WHERE state <> 'running' AND path <> '';
CREATE INDEX attempt_failure ON attempt (dataset, id) WHERE error_class IS NOT NULL;
CREATE INDEX attempt_failed ON attempt (run) WHERE state = 'failed';

CREATE TABLE schema (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);

CREATE TABLE version (
    id INTEGER PRIMARY KEY,
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    -- [[path, rows, bytes, hash], ...]
    files TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    content TEXT NOT NULL,
    schema INTEGER REFERENCES schema (id),
    created_ms INTEGER NOT NULL
);

CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    run TEXT NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE INDEX journal_run ON journal (run, seq) WHERE kind <> 'publish';

CREATE TABLE checkpoint (
    attempt INTEGER PRIMARY KEY,
    -- NULL for sources, so that the unique index lets them be observed any number of times.
    run INTEGER REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES version (id),
    previous INTEGER REFERENCES version (id),
    code TEXT NOT NULL,
    declared_version TEXT,
    -- 64 bits without a sign, kept as the signed integer with the same bits.
    inputs_digest INTEGER NOT NULL,
    watermark_ms INTEGER,
    offsets TEXT,
    started_ms INTEGER NOT NULL,
    published_ms INTEGER NOT NULL,
    -- The journal entry that published it: the order of publishing, and what its digest is checked against.
    entry INTEGER NOT NULL
);

CREATE UNIQUE INDEX checkpoint_task ON checkpoint (dataset, key, run);
CREATE INDEX checkpoint_run ON checkpoint (run, entry);
CREATE INDEX checkpoint_dataset ON checkpoint (dataset, entry);

CREATE TABLE lineage (
    checkpoint INTEGER NOT NULL REFERENCES checkpoint (attempt),
    version INTEGER NOT NULL REFERENCES version (id),
    PRIMARY KEY (checkpoint, version)
) WITHOUT ROWID;

CREATE INDEX lineage_version ON lineage (version);

CREATE TABLE head (
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES version (id),
    checkpoint INTEGER NOT NULL REFERENCES checkpoint (attempt),
    PRIMARY KEY (dataset, key)
) WITHOUT ROWID;

CREATE TABLE command (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    run TEXT NOT NULL,
    verb TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    arguments TEXT NOT NULL DEFAULT '{}',
    -- NULL while it waits for the coordinator; empty for accepted, else why it was refused.
    answer TEXT
);

CREATE INDEX command_pending ON command (id) WHERE answer IS NULL;

-- Those that are closed without failures are left out.
CREATE TABLE breaker (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    failures INTEGER NOT NULL,
    cooldown_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What the coordinator last said of a run, as JSON.
CREATE TABLE live (
    run TEXT PRIMARY KEY REFERENCES run (id),
    at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
);

-- Progress inside attempts that have not been published: what the next attempt of the task goes on from.
CREATE TABLE batch (
    run INTEGER NOT NULL REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    -- 1, 2, 3 ... over all attempts of the task.
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    path TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hash TEXT NOT NULL,
    content TEXT NOT NULL,
    -- JSON: a whole number or a text.
    resume_from TEXT NOT NULL,
    schema INTEGER NOT NULL REFERENCES schema (id),
    watermark_ms INTEGER,
    offsets TEXT,
    inputs_digest INTEGER NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (dataset, key, run, seq)
) WITHOUT ROWID;

CREATE INDEX batch_attempt ON batch (attempt);

-- Plans that people were shown, so that exactly what was shown can be approved and run.
CREATE TABLE plan (
    hash TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    service_class TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- The run that it became.
    run TEXT REFERENCES run (id),
    -- JSON: the state of the world that it was made from, what the guard rails said, and the forecast.
    basis TEXT NOT NULL,
    verdict TEXT NOT NULL,
    forecast TEXT NOT NULL,
    -- Last, because it can be long.
    body TEXT NOT NULL
);

CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    plan TEXT NOT NULL REFERENCES plan (hash),
    at_ms INTEGER NOT NULL,
    author TEXT NOT NULL,
    is_approval INTEGER NOT NULL,
    reason TEXT NOT NULL
);

CREATE INDEX decision_plan ON decision (plan);
CREATE INDEX plan_run ON plan (run) WHERE run IS NOT NULL;

-- What the tables keep as numbers, as text. Without outer joins, so that SQLite folds them into the statements.
CREATE VIEW attempts AS
SELECT a.id, r.id AS run, d.name AS dataset, a.key, a.number, a.state, a.path, a.expects, a.started_ms,
    a.finished_ms, a.error_class, a.error, a.hint, a.traceback
FROM attempt a
JOIN run r ON r.n = a.run
JOIN dataset d ON d.id = a.dataset;

CREATE VIEW versions AS
SELECT v.id, d.name AS dataset, v.key, v.files, v.rows, v.bytes, v.content,
    (SELECT s.body FROM schema s WHERE s.id = v.schema) AS schema, v.created_ms
FROM version v
JOIN dataset d ON d.id = v.dataset;

CREATE VIEW checkpoints AS
SELECT c.attempt, coalesce((SELECT r.id FROM run r WHERE r.n = c.run), '') AS run, d.name AS dataset, c.key, c.version,
    c.previous, c.code, c.declared_version, c.inputs_digest, c.watermark_ms, c.offsets, c.started_ms, c.published_ms,
    c.entry
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset;
