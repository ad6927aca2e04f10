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
SELECT d.name, c.key, c.attempt, h.checkpoint
FROM (SELECT dataset, key, attempt, max(entry) FROM checkpoint GROUP BY dataset, key) c
JOIN dataset d ON d.id = c.dataset
LEFT JOIN head h ON h.dataset = c.dataset AND h.key = c.key
WHERE h.checkpoint IS NULL OR h.checkpoint <> c.attempt
ORDER BY d.name, c.key;

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
