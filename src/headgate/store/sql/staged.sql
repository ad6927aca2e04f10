-- name: add_staged_run
INSERT INTO staged_run (run, needs_approval) SELECT n, :needs_approval FROM run WHERE id = :run;

-- name: staged_runs
SELECT run FROM staged_run WHERE published_ms IS NULL;

-- name: set_staged_head
INSERT INTO staged_head (run, dataset, key, version, checkpoint) VALUES (?, ?, ?, ?, ?);

-- name: staged_or_heads_of_keys
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin
FROM json_each(:keys) j
CROSS JOIN dataset d ON d.name = :dataset
CROSS JOIN versions v ON v.id = coalesce(
    (SELECT s.version FROM staged_head s WHERE s.run = :run AND s.dataset = d.id AND s.key = j.value),
    (SELECT h.version FROM head h WHERE h.dataset = d.id AND h.key = j.value)
);

-- name: staged_moves
-- In the order of names and keys, for the digest.
SELECT d.id, d.name, s.key, h.version, h.checkpoint, s.version, s.checkpoint
FROM staged_head s
JOIN dataset d ON d.id = s.dataset
LEFT JOIN head h ON h.dataset = s.dataset AND h.key = s.key
WHERE s.run = :run
ORDER BY d.name, s.key;

-- name: staged_conflicts
-- Compared are identities: a compaction of what was there is no conflict. A hold that is older than the run was lifted for
-- it, or its attempts could not have published.
SELECT dataset, key, previous, head, published_by, held_by, withdrawn, moved_by, has_moved
FROM (
    SELECT d.name AS dataset, s.key AS key, c.previous AS previous, h.version AS head,
        coalesce((SELECT r.id FROM checkpoint m JOIN run r ON r.n = m.run WHERE m.attempt = h.checkpoint), '')
            AS published_by,
        coalesce((
            SELECT r.id
            FROM hold o
            JOIN run r ON r.n = o.run
            WHERE o.dataset = s.dataset AND o.key = s.key AND o.run > s.run
            ORDER BY o.run DESC LIMIT 1
        ), '') AS held_by,
        coalesce((
            SELECT y.name || '/' || i.key
            FROM lineage l
            CROSS JOIN version i ON i.id = l.version
            CROSS JOIN dataset y ON y.id = i.dataset
            WHERE l.checkpoint = s.checkpoint AND EXISTS (SELECT 1 FROM withdrawn w WHERE w.version = l.version)
            LIMIT 1
        ), '') AS withdrawn,
        coalesce((
            SELECT CASE WHEN m.after_checkpoint IS h.checkpoint AND r.kind = 'rollback' THEN r.id END
            FROM moved m
            JOIN run r ON r.n = m.run
            WHERE m.dataset = s.dataset AND m.key = s.key AND m.run > s.run
            ORDER BY m.id DESC LIMIT 1
        ), '') AS moved_by,
        coalesce(v.origin, v.id) IS NOT coalesce(p.origin, p.id) AS has_moved
    FROM staged_head s
    JOIN dataset d ON d.id = s.dataset
    JOIN checkpoint c ON c.attempt = s.checkpoint
    LEFT JOIN version p ON p.id = c.previous
    LEFT JOIN head h ON h.dataset = s.dataset AND h.key = s.key
    LEFT JOIN version v ON v.id = h.version
    WHERE s.run = (SELECT n FROM run WHERE id = :run)
)
WHERE has_moved OR held_by <> '' OR withdrawn <> ''
ORDER BY dataset, key;

-- name: add_moved
INSERT INTO moved (run, dataset, key, before, before_checkpoint, after, after_checkpoint, at_ms, entry)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: show_staged_heads
INSERT INTO head (dataset, key, version, checkpoint)
SELECT dataset, key, version, checkpoint FROM staged_head WHERE run = :run
ON CONFLICT (dataset, key) DO UPDATE SET version = excluded.version, checkpoint = excluded.checkpoint;

-- name: forget_staged_heads
DELETE FROM staged_head WHERE run = :run;

-- name: end_staged_run
UPDATE staged_run SET published_ms = :now_ms WHERE run = :run AND published_ms IS NULL;

-- name: staged_run
SELECT s.needs_approval, s.published_ms, (SELECT count(*) FROM staged_head h WHERE h.run = s.run)
FROM staged_run s
WHERE s.run = (SELECT n FROM run WHERE id = :run);

-- name: staged_run_ids
SELECT r.id FROM staged_run s JOIN run r ON r.n = s.run
WHERE s.published_ms IS NULL AND EXISTS (SELECT 1 FROM staged_head h WHERE h.run = s.run)
ORDER BY r.id;

-- name: changes
SELECT d.name, c.key, c.version, c.previous
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
WHERE c.run = (SELECT n FROM run WHERE id = :run) AND (:dataset IS NULL OR d.name = :dataset)
ORDER BY d.name, c.key;
