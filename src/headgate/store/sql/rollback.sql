-- name: make_tainted
-- Checkpoints that a rollback takes back; derived are those that have read what others of them made. A version has the
-- number of the checkpoint that made it, so that this also says which versions are bad: those with such an identity.
CREATE TEMP TABLE IF NOT EXISTS tainted (
    checkpoint INTEGER PRIMARY KEY,
    is_derived INTEGER NOT NULL
);

-- name: make_moving
CREATE TEMP TABLE IF NOT EXISTS moving (
    dataset INTEGER NOT NULL,
    key TEXT NOT NULL,
    before INTEGER,
    before_checkpoint INTEGER,
    after INTEGER,
    after_checkpoint INTEGER,
    is_derived INTEGER NOT NULL,
    PRIMARY KEY (dataset, key)
) WITHOUT ROWID;

-- name: clear_tainted
DELETE FROM tainted;

-- name: clear_moving
DELETE FROM moving;

-- name: taint_run
INSERT INTO tainted (checkpoint, is_derived) SELECT attempt, 0 FROM checkpoint WHERE run = :run;

-- name: taint_published_over
-- What a compaction packed anew is bad if that is.
INSERT OR IGNORE INTO tainted (checkpoint, is_derived)
SELECT l.attempt, 0
FROM checkpoint c
CROSS JOIN checkpoint l ON l.dataset = c.dataset AND l.key = c.key AND l.entry > c.entry
WHERE c.run = :run AND c.version = c.attempt
    AND NOT EXISTS (SELECT 1 FROM version v WHERE v.id = l.attempt AND v.origin IS NOT NULL);

-- name: taint_newer
INSERT OR IGNORE INTO tainted (checkpoint, is_derived)
SELECT c.attempt, 0
FROM moving m
CROSS JOIN checkpoint c ON c.dataset = m.dataset AND c.key = m.key
WHERE c.entry > coalesce((SELECT t.entry FROM checkpoint t WHERE t.attempt = m.after_checkpoint), 0)
    AND NOT EXISTS (SELECT 1 FROM version v WHERE v.id = c.attempt AND v.origin IS NOT NULL);

-- name: taint_readers
WITH RECURSIVE bad (checkpoint) AS (
    SELECT checkpoint FROM tainted
    UNION
    SELECT v.id FROM bad b CROSS JOIN version v ON v.origin = b.checkpoint
    UNION
    SELECT l.checkpoint FROM bad b CROSS JOIN lineage l ON l.version = b.checkpoint
)
INSERT OR IGNORE INTO tainted (checkpoint, is_derived) SELECT checkpoint, 1 FROM bad;

-- name: move_tainted
INSERT OR IGNORE INTO moving (dataset, key, before, before_checkpoint, is_derived)
SELECT h.dataset, h.key, h.version, h.checkpoint, t.is_derived
FROM tainted t
CROSS JOIN checkpoint c ON c.attempt = t.checkpoint
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key
CROSS JOIN version v ON v.id = h.version
WHERE t.is_derived = :is_derived AND t.checkpoint IN (h.checkpoint, coalesce(v.origin, v.id));

-- name: aim_at_last_good
-- The newest that was shown and is not bad. Not by the view of what was shown: SQLite would make that for all partitions.
UPDATE moving
SET after_checkpoint = (
    SELECT s.checkpoint
    FROM (
        SELECT * FROM (
            SELECT c.attempt AS checkpoint, c.entry
            FROM checkpoint c
            WHERE c.dataset = moving.dataset AND c.key = moving.key
                AND NOT EXISTS (SELECT 1 FROM tainted b WHERE b.checkpoint = c.attempt AND b.is_derived <= :downstream)
                AND (c.version = c.attempt OR NOT EXISTS (
                    SELECT 1 FROM tainted b WHERE b.checkpoint = c.version AND b.is_derived <= :downstream
                ))
                AND NOT (:any_packed AND EXISTS (
                    SELECT 1
                    FROM version v
                    JOIN tainted b ON b.checkpoint = v.origin AND b.is_derived <= :downstream
                    WHERE v.id = c.version
                ))
                AND NOT (:any_staged AND EXISTS (SELECT 1 FROM staged_run r WHERE r.run = c.run))
                AND NOT (:any_moved AND EXISTS (SELECT 1 FROM withdrawn w WHERE w.version = c.version))
            ORDER BY +c.entry DESC LIMIT 1
        )
        UNION ALL
        SELECT * FROM (
            SELECT e.after_checkpoint, e.entry
            FROM moved e
            LEFT JOIN version v ON v.id = e.after
            WHERE :any_moved AND e.dataset = moving.dataset AND e.key = moving.key
                AND NOT EXISTS (
                    SELECT 1
                    FROM tainted b
                    WHERE b.checkpoint IN (e.after_checkpoint, v.id, v.origin) AND b.is_derived <= :downstream
                )
                AND NOT EXISTS (SELECT 1 FROM withdrawn w WHERE w.version = e.after)
            ORDER BY +e.entry DESC LIMIT 1
        )
    ) s
    ORDER BY s.entry DESC LIMIT 1
)
WHERE is_derived >= :from_derived;

-- name: move_to_then
INSERT INTO moving (dataset, key, before, before_checkpoint, after_checkpoint, is_derived)
SELECT :dataset, key, before, before_checkpoint, after_checkpoint, 0
FROM (
    SELECT j.value AS key, h.version AS before, h.checkpoint AS before_checkpoint,
        (
            SELECT s.checkpoint
            FROM (
                SELECT * FROM (
                    SELECT c.attempt AS checkpoint, c.entry
                    FROM checkpoint c
                    WHERE c.dataset = :dataset AND c.key = j.value
                        AND c.published_ms <= :until_ms AND c.entry <= :until_entry
                        AND NOT EXISTS (SELECT 1 FROM staged_run s WHERE s.run = c.run)
                    ORDER BY +c.entry DESC LIMIT 1
                )
                UNION ALL
                SELECT * FROM (
                    SELECT m.after_checkpoint, m.entry
                    FROM moved m
                    WHERE m.dataset = :dataset AND m.key = j.value
                        AND m.at_ms <= :until_ms AND m.entry <= :until_entry
                    ORDER BY m.id DESC LIMIT 1
                )
            ) s
            ORDER BY s.entry DESC LIMIT 1
        ) AS after_checkpoint
    FROM json_each(:keys) j
    LEFT JOIN head h ON h.dataset = :dataset AND h.key = j.value
)
WHERE before_checkpoint IS NOT after_checkpoint;

-- name: leave_repacked
-- What shows the same content in a pack, made by the same code from the same inputs, has not changed since.
DELETE FROM moving
WHERE EXISTS (
    SELECT 1
    FROM checkpoint b
    JOIN version v ON v.id = b.version
    JOIN checkpoint a ON a.attempt = moving.after_checkpoint AND a.code = b.code AND a.inputs_digest = b.inputs_digest
    JOIN version w ON w.id = a.version
    WHERE b.attempt = moving.before_checkpoint AND v.origin = coalesce(w.origin, w.id)
);

-- name: shown_at
-- The last journal entry by which a partition showed a version.
SELECT max(entry)
FROM (
    SELECT c.entry
    FROM checkpoint c
    WHERE c.dataset = :dataset AND c.key = :key AND c.version = :version
        AND NOT EXISTS (SELECT 1 FROM staged_run s WHERE s.run = c.run)
    UNION ALL
    SELECT m.entry FROM moved m WHERE m.dataset = :dataset AND m.key = :key AND m.after = :version
);

-- name: move_back
INSERT INTO moving (dataset, key, before, before_checkpoint, after_checkpoint, is_derived)
SELECT m.dataset, m.key, h.version, h.checkpoint, m.before_checkpoint, 0
FROM moved m
LEFT JOIN head h ON h.dataset = m.dataset AND h.key = m.key
WHERE m.run = :run AND h.checkpoint IS NOT m.before_checkpoint
    AND (:anyway OR h.checkpoint IS m.after_checkpoint OR EXISTS (
        SELECT 1
        FROM version v
        JOIN version w ON w.id = m.after
        JOIN checkpoint c ON c.attempt = h.checkpoint
        JOIN run r ON r.n = c.run AND r.kind = 'compaction'
        WHERE v.id = h.version AND coalesce(v.origin, v.id) = coalesce(w.origin, w.id)
    ));

-- name: take_repacked
-- Where vacuum has removed the files of a version, another with the same content will do.
UPDATE moving
SET after_checkpoint = coalesce(
    (
        SELECT c.attempt
        FROM checkpoint t
        JOIN version w ON w.id = t.version
        JOIN version v ON v.dataset = w.dataset AND v.key = w.key AND coalesce(v.origin, v.id) = coalesce(w.origin, w.id)
            AND v.removed_ms IS NULL AND v.id IS NOT moving.before
        JOIN checkpoint c ON c.dataset = v.dataset AND c.key = v.key AND c.version = v.id
        WHERE t.attempt = moving.after_checkpoint
        ORDER BY +c.entry DESC LIMIT 1
    ),
    after_checkpoint
)
WHERE EXISTS (
    SELECT 1
    FROM checkpoint t
    JOIN version w ON w.id = t.version AND w.removed_ms IS NOT NULL
    WHERE t.attempt = moving.after_checkpoint
);

-- name: name_versions
UPDATE moving SET after = (SELECT c.version FROM checkpoint c WHERE c.attempt = moving.after_checkpoint);

-- name: rollback_moves
SELECT d.name, m.key, m.before, m.before_checkpoint, m.after, m.after_checkpoint, m.is_derived
FROM moving m
JOIN dataset d ON d.id = m.dataset
ORDER BY d.name, m.key;

-- name: dependants
SELECT DISTINCT d.name, h.key, h.version, coalesce(r.id, '')
FROM tainted t
CROSS JOIN checkpoint c ON c.attempt = t.checkpoint
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key
CROSS JOIN version v ON v.id = h.version
CROSS JOIN checkpoint l ON l.attempt = h.checkpoint
CROSS JOIN dataset d ON d.id = h.dataset
LEFT JOIN run r ON r.n = l.run
WHERE t.is_derived AND t.checkpoint IN (h.checkpoint, coalesce(v.origin, v.id))
    AND NOT EXISTS (SELECT 1 FROM moving m WHERE m.dataset = h.dataset AND m.key = h.key)
ORDER BY d.name, h.key;

-- name: published_over
SELECT d.name, h.key, h.version, coalesce(r.id, '')
FROM checkpoint c
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key
CROSS JOIN checkpoint l ON l.attempt = h.checkpoint AND l.entry > c.entry
CROSS JOIN dataset d ON d.id = h.dataset
LEFT JOIN run r ON r.n = l.run
WHERE c.run = :run AND c.version = c.attempt
    AND NOT EXISTS (SELECT 1 FROM moving m WHERE m.dataset = h.dataset AND m.key = h.key)
    AND NOT EXISTS (SELECT 1 FROM staged_run s WHERE s.run = c.run AND s.published_ms IS NULL)
ORDER BY d.name, h.key;

-- name: moved_since
SELECT d.name, m.key, h.version,
    coalesce(
        (
            SELECT r.id
            FROM moved l
            JOIN run r ON r.n = l.run
            WHERE l.dataset = m.dataset AND l.key = m.key AND l.id > m.id AND l.after_checkpoint IS h.checkpoint
            ORDER BY l.id DESC LIMIT 1
        ),
        (SELECT r.id FROM checkpoint c JOIN run r ON r.n = c.run WHERE c.attempt = h.checkpoint),
        ''
    )
FROM moved m
JOIN dataset d ON d.id = m.dataset
LEFT JOIN head h ON h.dataset = m.dataset AND h.key = m.key
WHERE m.run = :run AND h.checkpoint IS NOT m.before_checkpoint
    AND NOT EXISTS (SELECT 1 FROM moving g WHERE g.dataset = m.dataset AND g.key = m.key)
ORDER BY d.name, m.key;

-- name: gone
SELECT d.name, m.key, m.after, coalesce(r.id, '')
FROM moving m
JOIN dataset d ON d.id = m.dataset
JOIN version v ON v.id = m.after AND v.removed_ms IS NOT NULL
JOIN checkpoint c ON c.attempt = m.after_checkpoint
LEFT JOIN run r ON r.n = c.run
ORDER BY d.name, m.key;

-- name: record_moves
INSERT INTO moved (run, dataset, key, before, before_checkpoint, after, after_checkpoint, at_ms, entry)
SELECT :run, dataset, key, before, before_checkpoint, after, after_checkpoint, :now_ms, :entry
FROM moving
ORDER BY dataset, key;

-- name: move_heads
INSERT INTO head (dataset, key, version, checkpoint)
SELECT dataset, key, after, after_checkpoint FROM moving WHERE after IS NOT NULL
ON CONFLICT (dataset, key) DO UPDATE SET version = excluded.version, checkpoint = excluded.checkpoint;

-- name: remove_heads
DELETE FROM head WHERE (dataset, key) IN (SELECT dataset, key FROM moving WHERE after IS NULL);

-- name: hold_moving
INSERT INTO hold (dataset, key, run) SELECT dataset, key, :run FROM moving;

-- name: release_holds
DELETE FROM hold WHERE run = :run;

-- name: held_by_entry
-- How many partitions a rollback held; NULL if it is none.
SELECT body ->> 'held' FROM journal WHERE run = :run AND kind = 'rollback' AND kind <> 'publish';

-- name: run_kind
SELECT n, kind, state FROM run WHERE id = :run;

-- name: any_hold
SELECT EXISTS (SELECT 1 FROM hold);

-- name: any_move
SELECT EXISTS (SELECT 1 FROM moved);

-- name: held_attempts
SELECT a.id, r.id, o.run < a.run
FROM json_each(:attempts) j
CROSS JOIN attempt a ON a.id = j.value
CROSS JOIN hold o ON o.dataset = a.dataset AND o.key = a.key
CROSS JOIN run r ON r.n = o.run
ORDER BY o.run;

-- name: tableless
SELECT v.id FROM json_each(:versions) j CROSS JOIN version v ON v.id = j.value WHERE v.schema IS NULL;

-- name: withdrawn_inputs
SELECT v.id, d.name, v.key
FROM json_each(:versions) j
CROSS JOIN version v ON v.id = j.value
CROSS JOIN dataset d ON d.id = v.dataset
WHERE EXISTS (SELECT 1 FROM withdrawn w WHERE w.version = v.id);

-- name: held
SELECT o.key, max(r.id)
FROM hold o
JOIN run r ON r.n = o.run
WHERE o.dataset = (SELECT id FROM dataset WHERE name = :dataset)
    AND (:keys IS NULL OR o.key IN (SELECT value FROM json_each(:keys)))
GROUP BY o.key
ORDER BY o.key;

-- name: holds
SELECT r.id, d.name, count(*), r.author, r.reason, r.created_ms
FROM hold o
JOIN run r ON r.n = o.run
JOIN dataset d ON d.id = o.dataset
GROUP BY r.n, d.id
ORDER BY r.n, d.name;

-- name: head_moves
SELECT m.key, m.before, m.after, m.at_ms, r.id, r.author, r.reason
FROM moved m
JOIN run r ON r.n = m.run
WHERE m.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND (:key IS NULL OR m.key = :key)
    AND r.kind = 'rollback'
ORDER BY m.id DESC LIMIT :limit;

-- name: looked_at
-- What has to be looked at, of moving heads, beside who published what: rarely anything, and then not all of it.
SELECT
    EXISTS (SELECT 1 FROM moving m CROSS JOIN moved e ON e.dataset = m.dataset AND e.key = m.key),
    EXISTS (SELECT 1 FROM version WHERE origin IS NOT NULL),
    EXISTS (SELECT 1 FROM staged_run);
