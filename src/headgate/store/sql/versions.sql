-- name: last_head_key
-- Of the heads behind a key, not more than so many; NULL if there are none.
SELECT coalesce(
    (SELECT key FROM head WHERE dataset = d.id AND key > :behind ORDER BY key LIMIT 1 OFFSET :more),
    (SELECT max(key) FROM head WHERE dataset = d.id AND key > :behind)
)
FROM dataset d WHERE d.name = :dataset;

-- name: head_columns
-- One row of long texts: rows of numbers would cost three times as much, for the objects they become.
SELECT group_concat(h.key, char(10)), group_concat(h.version), group_concat(c.inputs_digest), group_concat(c.code),
    group_concat(h.checkpoint - h.version)
FROM head h
CROSS JOIN checkpoint c ON c.attempt = h.checkpoint
WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key > :behind AND h.key <= :last;

-- name: schema_of_code
SELECT v.schema
FROM checkpoint c
JOIN versions v ON v.id = c.version
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.code = :code
ORDER BY c.entry DESC, c.attempt DESC LIMIT 1;

-- name: schema_of_other_code
SELECT v.schema
FROM head h
JOIN checkpoint c ON c.attempt = h.checkpoint
JOIN versions v ON v.id = h.version
WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.code <> :code
ORDER BY c.entry DESC, c.attempt DESC LIMIT 1;

-- name: heads
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms
FROM head h
CROSS JOIN versions v ON v.id = h.version
WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: heads_of_keys
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key = j.value
CROSS JOIN versions v ON v.id = h.version;

-- name: datasets
SELECT name FROM dataset d WHERE EXISTS (SELECT 1 FROM head h WHERE h.dataset = d.id) ORDER BY name;

-- name: version
SELECT id, dataset, key, files, rows, bytes, content, schema, created_ms FROM versions WHERE id = :version;

-- name: lineage
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms
FROM lineage l
CROSS JOIN versions v ON v.id = l.version
WHERE l.checkpoint = :checkpoint
ORDER BY v.dataset, v.key, v.id;

-- name: checkpoints_of_dataset
SELECT attempt, run, dataset, key, version, previous, code, declared_version, inputs_digest, watermark_ms, offsets,
    started_ms, published_ms
FROM checkpoints WHERE dataset = :dataset
ORDER BY entry DESC, attempt DESC LIMIT :limit;

-- name: checkpoints_of_partition
SELECT attempt, run, dataset, key, version, previous, code, declared_version, inputs_digest, watermark_ms, offsets,
    started_ms, published_ms
FROM checkpoints WHERE dataset = :dataset AND key = :key
-- The plus keeps SQLite from walking the whole dataset in the order of entries.
ORDER BY +entry DESC, attempt DESC LIMIT :limit;

-- name: checkpoints_of_run
SELECT c.attempt, :run, d.name, c.key, c.version, c.previous, c.code, c.declared_version, c.inputs_digest,
    c.watermark_ms, c.offsets, c.started_ms, c.published_ms
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
WHERE c.run = (SELECT n FROM run WHERE id = :run)
ORDER BY c.entry, c.attempt;

-- name: made
SELECT d.name, count(*), sum(c.version = c.attempt)
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
WHERE c.run = (SELECT n FROM run WHERE id = :run)
GROUP BY c.dataset
ORDER BY d.name;

-- name: durations
SELECT max(c.published_ms - c.started_ms, 0), v.bytes
FROM checkpoint c
JOIN version v ON v.id = c.version
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.run IS NOT NULL
ORDER BY c.entry DESC, c.attempt DESC LIMIT :limit;
