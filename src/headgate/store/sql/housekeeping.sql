-- name: kept_versions
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin,
    EXISTS (SELECT 1 FROM head h WHERE h.dataset = w.dataset AND h.key = w.key AND h.version = w.id)
FROM version w
CROSS JOIN versions v ON v.id = w.id
WHERE w.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND (:key IS NULL OR w.key = :key)
    AND w.removed_ms IS NULL
    AND EXISTS (SELECT 1 FROM checkpoint c WHERE c.attempt = w.id AND c.run IS NOT NULL)
ORDER BY w.id DESC;

-- name: kept_heads
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin, 1
FROM head h
CROSS JOIN versions v ON v.id = h.version
WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND (:key IS NULL OR h.key = :key)
    AND EXISTS (SELECT 1 FROM checkpoint c WHERE c.attempt = h.version AND c.run IS NOT NULL);

-- name: held_keys
SELECT key FROM hold WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: removable
-- Whatever readers or attempts may have seen since then is needed: a running attempt reads what were heads at its start.
WITH since (ms) AS MATERIALIZED (
    SELECT min(:since_ms, coalesce((SELECT min(started_ms) FROM attempt WHERE state = 'running'), :since_ms))
)
SELECT v.id, (SELECT d.name FROM dataset d WHERE d.id = v.dataset), v.key, v.bytes, v.files,
    (SELECT u.path FROM unpacked u WHERE u.version = v.id)
FROM version v
CROSS JOIN since
CROSS JOIN checkpoint made ON made.attempt = v.id AND made.run IS NOT NULL
WHERE v.id BETWEEN :first AND :last AND v.removed_ms IS NULL AND v.files <> '[]' AND v.created_ms < since.ms
    AND (v.origin IS NOT NULL) = :is_packed
    AND NOT EXISTS (SELECT 1 FROM head h WHERE h.dataset = v.dataset AND h.key = v.key AND h.version = v.id)
    AND v.id NOT IN (SELECT version FROM staged_head)
    AND v.id NOT IN (SELECT j.value FROM quarantine q, json_each(q.candidate, '$.inputs') j WHERE q.state = 'held')
    AND NOT EXISTS (
        SELECT 1
        FROM checkpoint c
        WHERE c.dataset = v.dataset AND c.key = v.key AND v.id IN (c.version, c.previous)
            AND c.run NOT IN (SELECT run FROM staged_run)
            AND (c.published_ms >= since.ms OR c.entry > (SELECT m.seq FROM mirror m WHERE m.dataset = v.dataset))
    )
    AND NOT EXISTS (
        SELECT 1
        FROM moved c
        WHERE c.dataset = v.dataset AND c.key = v.key AND v.id IN (c.before, c.after)
            AND (c.at_ms >= since.ms OR c.entry > (SELECT m.seq FROM mirror m WHERE m.dataset = v.dataset))
    )
    AND (
        made.run IN (SELECT run FROM staged_run WHERE published_ms IS NULL)
        OR EXISTS (
            SELECT 1 FROM version f WHERE f.origin = coalesce(v.origin, v.id) AND f.id > v.id AND f.removed_ms IS NULL
        )
        OR :versions <= (
            SELECT count(DISTINCT coalesce(n.origin, n.id))
            FROM version n
            JOIN checkpoint c ON c.attempt = n.id
            WHERE n.dataset = v.dataset AND n.key = v.key AND n.removed_ms IS NULL
                AND coalesce(n.origin, n.id) > coalesce(v.origin, v.id)
                AND c.run NOT IN (SELECT run FROM staged_run WHERE published_ms IS NULL)
        )
    );

-- name: packed_files
SELECT id, files FROM version WHERE origin IS NOT NULL AND removed_ms IS NULL;

-- name: doomed
SELECT path FROM doomed ORDER BY path;

-- name: remove_version
UPDATE version SET removed_ms = ? WHERE id = ? AND removed_ms IS NULL;

-- name: doom
INSERT OR IGNORE INTO doomed (path) VALUES (?);

-- name: forget_unpacked
DELETE FROM unpacked WHERE version = ?;

-- name: forget_doomed
DELETE FROM doomed WHERE path = ?;

-- name: needed_files
-- As lists of files: those of versions, and of results that are quarantined.
SELECT files FROM version WHERE removed_ms IS NULL AND files <> '[]'
UNION ALL
SELECT candidate ->> '$.files' FROM quarantine WHERE state = 'held';

-- name: needed_paths
SELECT path FROM batch
UNION ALL
SELECT path FROM attempt WHERE path <> ''
UNION ALL
SELECT path FROM unpacked
UNION ALL
SELECT path FROM doomed;

-- name: stage_folders
SELECT a.id, d.name || '/' || r.id
FROM json_each(:attempts) j
CROSS JOIN attempt a ON a.id = j.value
JOIN dataset d ON d.id = a.dataset
JOIN run r ON r.n = a.run;

-- name: resting_folders
SELECT j.value
FROM json_each(:folders) j
CROSS JOIN dataset d ON d.name = substr(j.value, 1, instr(j.value, '/') - 1)
CROSS JOIN run r ON r.id = substr(j.value, instr(j.value, '/') + 1)
WHERE r.state NOT IN ('running', 'queued')
    AND NOT EXISTS (
        SELECT 1 FROM attempt a INDEXED BY attempt_running WHERE a.state = 'running' AND a.run = r.n
    );

-- name: head_checkpoints
SELECT c.attempt, c.run, c.dataset, c.key, c.version, c.previous, c.code, c.declared_version, c.inputs_digest,
    c.watermark_ms, c.offsets, c.started_ms, c.published_ms, c.parameters
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key = j.value
CROSS JOIN checkpoints c ON c.attempt = h.checkpoint;

-- name: pinned
SELECT version FROM lineage WHERE checkpoint = :checkpoint ORDER BY version;
