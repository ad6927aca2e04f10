-- name: broken_heads
SELECT d.name, h.key, h.version, h.checkpoint, v.id IS NULL, c.attempt IS NULL
FROM head h
JOIN dataset d ON d.id = h.dataset
LEFT JOIN version v ON v.id = h.version AND v.dataset = h.dataset AND v.key = h.key
LEFT JOIN checkpoint c
    ON c.attempt = h.checkpoint AND c.dataset = h.dataset AND c.key = h.key AND c.version = h.version
WHERE v.id IS NULL OR c.attempt IS NULL
ORDER BY d.name, h.key;

-- name: overtaken_heads
-- What staged runs made became visible, if at all, with an entry of its own.
SELECT d.name, c.key, c.checkpoint, h.checkpoint
FROM (
    SELECT dataset, key, checkpoint, max(entry)
    FROM (
        SELECT dataset, key, attempt AS checkpoint, entry FROM checkpoint
        WHERE run IS NULL OR run NOT IN (SELECT run FROM staged_run)
        UNION ALL
        SELECT dataset, key, after_checkpoint, entry FROM moved
    )
    GROUP BY dataset, key
) c
JOIN dataset d ON d.id = c.dataset
LEFT JOIN head h ON h.dataset = c.dataset AND h.key = c.key
WHERE h.checkpoint IS NOT c.checkpoint
ORDER BY d.name, c.key;

-- name: moves
SELECT m.entry, d.name, m.key, m.before, m.before_checkpoint, m.after, m.after_checkpoint
FROM moved m
JOIN dataset d ON d.id = m.dataset
ORDER BY m.entry;

-- name: broken_staged_heads
SELECT d.name, s.key, s.version, r.id
FROM staged_head s
JOIN dataset d ON d.id = s.dataset
JOIN run r ON r.n = s.run
LEFT JOIN checkpoint c
    ON c.attempt = s.checkpoint AND c.run = s.run AND c.dataset = s.dataset AND c.key = s.key AND c.version = s.version
LEFT JOIN staged_run u ON u.run = s.run AND u.published_ms IS NULL
WHERE c.attempt IS NULL OR u.run IS NULL
ORDER BY d.name, s.key;

-- name: broken_checkpoints
SELECT c.attempt, d.name, c.key, c.version, v.id IS NULL, c.previous, p.id IS NULL, c.run IS NOT NULL AND a.id IS NULL
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
LEFT JOIN version v ON v.id = c.version AND v.dataset = c.dataset AND v.key = c.key
LEFT JOIN version p ON p.id = c.previous
LEFT JOIN attempt a ON a.id = c.attempt AND a.state = 'succeeded'
WHERE v.id IS NULL OR (c.previous IS NOT NULL AND p.id IS NULL) OR (c.run IS NOT NULL AND a.id IS NULL)
ORDER BY c.attempt;

-- name: broken_lineage
SELECT l.checkpoint, l.version, c.attempt IS NULL
FROM lineage l
LEFT JOIN checkpoint c ON c.attempt = l.checkpoint
LEFT JOIN version v ON v.id = l.version
WHERE c.attempt IS NULL OR v.id IS NULL
ORDER BY l.checkpoint, l.version;

-- name: unrecorded_successes
SELECT id, dataset, key, run FROM attempts a
WHERE state = 'succeeded' AND NOT EXISTS (SELECT 1 FROM checkpoint c WHERE c.attempt = a.id)
ORDER BY id;

-- name: published
SELECT c.entry, c.attempt, d.name, c.key, c.version, c.previous, c.code, c.inputs_digest, v.content, v.files,
    (SELECT json_group_array(l.version) FROM lineage l WHERE l.checkpoint = c.attempt)
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
LEFT JOIN version v ON v.id = c.attempt
ORDER BY c.entry;
