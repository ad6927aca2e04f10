-- name: attempts_and_heads
SELECT a.id, a.run, a.dataset, a.key, a.state, a.path, a.expects, h.version, coalesce(v.origin, v.id), v.content, v.schema
FROM json_each(:attempts) j
CROSS JOIN attempt a ON a.id = j.value
LEFT JOIN head h ON h.dataset = a.dataset AND h.key = a.key
LEFT JOIN version v ON v.id = h.version;

-- name: observed_heads
SELECT h.key, h.version, v.files
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = :dataset AND h.key = j.value
JOIN version v ON v.id = h.version;

-- name: add_version
INSERT INTO version (id, dataset, key, files, rows, bytes, content, schema, created_ms, origin)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: move_files
UPDATE version SET files = ? WHERE id = ?;

-- name: add_checkpoint
INSERT INTO checkpoint (attempt, run, dataset, key, version, previous, code, declared_version, inputs_digest,
    watermark_ms, offsets, started_ms, published_ms, entry, parameters)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_lineage
INSERT INTO lineage (checkpoint, version) VALUES (?, ?);

-- name: set_head
INSERT INTO head (dataset, key, version, checkpoint) VALUES (?, ?, ?, ?)
ON CONFLICT (dataset, key) DO UPDATE SET version = excluded.version, checkpoint = excluded.checkpoint;

-- name: add_dataset
INSERT OR IGNORE INTO dataset (name) VALUES (:name);

-- name: dataset_id
SELECT id FROM dataset WHERE name = :name;

-- name: add_schema
INSERT OR IGNORE INTO schema (hash, body) VALUES (:hash, :body);

-- name: add_parameters
INSERT OR IGNORE INTO parameters (body) VALUES (:body);

-- name: parameters_id
SELECT id FROM parameters WHERE body = :body;

-- name: schema_id
SELECT id FROM schema WHERE hash = :hash;
