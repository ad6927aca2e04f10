-- Values of [parameters] that attempts were given, each set once.
CREATE TABLE parameters (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE
);

ALTER TABLE checkpoint ADD COLUMN parameters INTEGER REFERENCES parameters (id);

DROP VIEW checkpoints;

-- For what is held of a partition that was made again.
CREATE INDEX attempt_failed_partition ON attempt (dataset, key) WHERE state = 'failed';
-- Checkpoints that found a version again instead of making it: few, and asked for by the version.
CREATE INDEX checkpoint_confirming ON checkpoint (version) WHERE attempt <> version;

CREATE VIEW checkpoints AS
SELECT c.attempt, coalesce((SELECT r.id FROM run r WHERE r.n = c.run), '') AS run, d.name AS dataset, c.key, c.version,
    c.previous, c.code, c.declared_version, c.inputs_digest, c.watermark_ms, c.offsets, c.started_ms, c.published_ms,
    c.entry, (SELECT p.body FROM parameters p WHERE p.id = c.parameters) AS parameters
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset;

-- Of those that went out as one call of the function: the first of them; NULL for one that went out by itself.
ALTER TABLE attempt ADD COLUMN lead INTEGER;

DROP VIEW attempts;

CREATE VIEW attempts AS
SELECT a.id, r.id AS run, d.name AS dataset, a.key, a.number, a.state, a.path, a.expects, a.started_ms,
    a.finished_ms, a.error_class, a.error, a.hint, a.traceback, a.lead
FROM attempt a
JOIN run r ON r.n = a.run
JOIN dataset d ON d.id = a.dataset;

-- The version whose content this one holds again in other files (a compaction): for planning they are one.
ALTER TABLE version ADD COLUMN origin INTEGER REFERENCES version (id);

-- When vacuum decided that its files go; NULL as long as they are kept.
ALTER TABLE version ADD COLUMN removed_ms INTEGER;

CREATE INDEX version_origin ON version (origin) WHERE origin IS NOT NULL;

CREATE INDEX version_identity ON version (id, origin) WHERE origin IS NOT NULL;

CREATE INDEX version_partition ON version (dataset, key);

DROP VIEW versions;

CREATE VIEW versions AS
SELECT v.id, d.name AS dataset, v.key, v.files, v.rows, v.bytes, v.content,
    (SELECT s.body FROM schema s WHERE s.id = v.schema) AS schema, v.created_ms, v.origin, v.removed_ms
FROM version v
JOIN dataset d ON d.id = v.dataset;

-- Files that vacuum has yet to unlink, relative to the data root.
CREATE TABLE doomed (
    path TEXT PRIMARY KEY
) WITHOUT ROWID;

-- What gates said of a version, as JSON: those that warned or were overridden, and how many held.
CREATE TABLE audit (
    attempt INTEGER PRIMARY KEY REFERENCES attempt (id),
    gates TEXT NOT NULL
);

-- Results that a gate has blocked: staged, never published, kept for inspection.
CREATE TABLE quarantine (
    attempt INTEGER PRIMARY KEY REFERENCES attempt (id),
    at_ms INTEGER NOT NULL,
    -- JSON: what would have been published, and what each gate said.
    candidate TEXT NOT NULL,
    gates TEXT NOT NULL,
    -- held, released or dropped; by whom and why.
    state TEXT NOT NULL DEFAULT 'held',
    decided_ms INTEGER,
    author TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
);

CREATE INDEX quarantine_held ON quarantine (attempt) WHERE state = 'held';

-- Runs that publish all of their partitions at once, in the end.
CREATE TABLE staged_run (
    run INTEGER PRIMARY KEY REFERENCES run (n),
    needs_approval INTEGER NOT NULL,
    -- NULL until its heads were moved.
    published_ms INTEGER
);

-- What a staged run will make the heads.
CREATE TABLE staged_head (
    run INTEGER NOT NULL REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES version (id),
    checkpoint INTEGER NOT NULL REFERENCES checkpoint (attempt),
    PRIMARY KEY (run, dataset, key)
) WITHOUT ROWID;

-- Heads that were moved by other means than publishing a checkpoint: by a rollback, or in the end of a staged run.
CREATE TABLE moved (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    -- Version and checkpoint that the head showed, and those that it shows now; NULL for no head.
    before INTEGER REFERENCES version (id),
    before_checkpoint INTEGER REFERENCES checkpoint (attempt),
    after INTEGER REFERENCES version (id),
    after_checkpoint INTEGER REFERENCES checkpoint (attempt),
    at_ms INTEGER NOT NULL,
    -- The journal entry that says so.
    entry INTEGER NOT NULL
);

CREATE INDEX moved_run ON moved (run);

CREATE INDEX moved_partition ON moved (dataset, key, id);

CREATE INDEX moved_before ON moved (before);

-- Partitions that a rollback took back: nothing rebuilds them until its cause is marked resolved.
CREATE TABLE hold (
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    -- The rollback.
    run INTEGER NOT NULL REFERENCES run (n),
    PRIMARY KEY (dataset, key, run)
) WITHOUT ROWID;

CREATE INDEX hold_run ON hold (run);

-- How far each mirror has followed the journal, and what keeps it from going on.
CREATE TABLE mirror (
    dataset INTEGER PRIMARY KEY REFERENCES dataset (id),
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT ''
);

-- Files that a mirror has of versions that are in packs, where it cannot name the pack.
CREATE TABLE unpacked (
    version INTEGER PRIMARY KEY REFERENCES version (id),
    path TEXT NOT NULL
);

-- What readers saw of each partition, event by event: published by a checkpoint, or moved.
CREATE VIEW shown AS
SELECT c.dataset, c.key, c.entry, c.published_ms AS at_ms, c.version, c.attempt AS checkpoint, c.run
FROM checkpoint c
WHERE NOT EXISTS (SELECT 1 FROM staged_run s WHERE s.run = c.run)
UNION ALL
SELECT m.dataset, m.key, m.entry, m.at_ms, m.after, m.after_checkpoint, m.run
FROM moved m;

-- Versions that a rollback moved a head away from, with no later move back.
-- An undo, which holds nothing, and going forth to a newer state say nothing against what was there.
CREATE VIEW withdrawn AS
SELECT v.id AS version
FROM version v
WHERE (
    SELECT coalesce(b.origin, b.id) IS coalesce(v.origin, v.id)
    FROM moved m
    LEFT JOIN version b ON b.id = m.before
    LEFT JOIN version a ON a.id = m.after
    WHERE m.dataset = v.dataset AND m.key = v.key AND coalesce(b.origin, b.id) IS NOT coalesce(a.origin, a.id)
        AND (
            coalesce(a.origin, a.id) = coalesce(v.origin, v.id)
            OR (coalesce(b.origin, b.id) = coalesce(v.origin, v.id) AND EXISTS (
                SELECT 1
                FROM journal j
                WHERE j.seq = m.entry AND j.kind = 'rollback' AND j.body ->> 'held' > 0
                    AND ((j.body ->> 'to_ms' IS NULL AND j.body ->> 'to_version' IS NULL)
                        OR (SELECT c.entry FROM checkpoint c WHERE c.attempt = m.before_checkpoint)
                            > coalesce((SELECT c.entry FROM checkpoint c WHERE c.attempt = m.after_checkpoint), 0))
            ))
        )
    ORDER BY m.id DESC LIMIT 1
);

-- Which checkpoint vouches for the content of a version: the one that its head has, else the newest. A compaction's says
-- nothing new.
CREATE VIEW vouching AS
SELECT c.attempt, c.run, c.code, c.published_ms, coalesce(v.origin, v.id) AS identity
FROM checkpoint c
JOIN version v ON v.id = c.version
WHERE c.attempt = (
    SELECT n.attempt
    FROM checkpoint n
    LEFT JOIN head h ON h.dataset = n.dataset AND h.key = n.key
    WHERE n.attempt IN (
        SELECT coalesce(v.origin, v.id)
        UNION ALL
        SELECT f.attempt
        FROM version w
        CROSS JOIN checkpoint f ON f.version = w.id AND f.attempt <> f.version
        WHERE w.id = coalesce(v.origin, v.id) OR w.origin = coalesce(v.origin, v.id)
    )
    ORDER BY n.attempt = h.checkpoint DESC, +n.entry DESC LIMIT 1
);

-- Whether readers see a version, by its identity: as which version, and if not, why not.
CREATE VIEW seen AS
SELECT v.id, d.name AS dataset, v.key,
    (
        SELECT s.id
        FROM head h
        JOIN version s ON s.id = h.version
        WHERE h.dataset = v.dataset AND h.key = v.key AND coalesce(s.origin, s.id) = v.id
    ) AS shown_as,
    CASE
        WHEN EXISTS (
            SELECT 1
            FROM head h
            JOIN version s ON s.id = h.version
            WHERE h.dataset = v.dataset AND h.key = v.key AND coalesce(s.origin, s.id) = v.id
        ) THEN 'head'
        WHEN EXISTS (
            SELECT 1
            FROM moved m
            CROSS JOIN run b ON b.n = m.run AND b.kind = 'rollback'
            CROSS JOIN version w ON w.id = m.before
            WHERE m.dataset = v.dataset AND m.key = v.key AND coalesce(w.origin, w.id) = v.id
                AND NOT EXISTS (
                    SELECT 1
                    FROM moved n
                    CROSS JOIN version x ON x.id = n.after
                    WHERE n.dataset = v.dataset AND n.key = v.key AND n.id > m.id AND coalesce(x.origin, x.id) = v.id
                )
        ) THEN 'rolled back'
        WHEN (SELECT r.state FROM run r WHERE r.n = c.run) = 'discarded' THEN 'discarded'
        WHEN EXISTS (SELECT 1 FROM staged_run t WHERE t.run = c.run AND t.published_ms IS NULL) THEN 'staged'
        ELSE 'former'
    END AS visibility
FROM version v
JOIN dataset d ON d.id = v.dataset
JOIN checkpoint c ON c.attempt = v.id;
