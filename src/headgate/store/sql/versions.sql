-- name: last_head_key
-- Of the heads behind a key, not more than so many; NULL if there are none.
SELECT coalesce(
    (SELECT key FROM head WHERE dataset = d.id AND key > :behind ORDER BY key LIMIT 1 OFFSET :more),
    (SELECT max(key) FROM head WHERE dataset = d.id AND key > :behind)
)
FROM dataset d WHERE d.name = :dataset;

-- name: head_columns
-- One row of long texts: rows of numbers would cost three times as much, for the objects they become.
-- Few versions are compactions, none in most stores: their index is looked into, not the table.
SELECT group_concat(key, char(10)), group_concat(identity), group_concat(inputs_digest), group_concat(code),
    group_concat(attempt - identity)
FROM (
    SELECT h.key, c.inputs_digest, c.code, coalesce(v.origin, h.version) AS identity,
        -- A compaction's checkpoint is a copy: who made the content, and from what, says the one before it.
        iif(v.origin IS NULL OR h.checkpoint <> h.version, h.checkpoint, (
            SELECT max(p.attempt)
            FROM checkpoint p
            JOIN version w ON w.id = p.version AND coalesce(w.origin, w.id) = v.origin
            WHERE p.dataset = h.dataset AND p.key = h.key AND (w.origin IS NULL OR w.id <> p.attempt)
        )) AS attempt
    FROM head h
    CROSS JOIN checkpoint c ON c.attempt = h.checkpoint
    LEFT JOIN version v INDEXED BY version_identity ON v.id = h.version AND v.origin IS NOT NULL
    WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key > :behind AND h.key <= :last
);

-- name: schema_of_code
SELECT v.schema
FROM checkpoint c
JOIN versions v ON v.id = c.version
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.code = :code
ORDER BY c.entry DESC, c.attempt DESC LIMIT 1;

-- name: schema_of_other_code
SELECT v.schema
FROM checkpoint c
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key AND h.checkpoint = c.attempt
CROSS JOIN versions v ON v.id = h.version
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.code <> :code
ORDER BY c.entry DESC, c.attempt DESC LIMIT 1;

-- name: heads
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin
FROM head h
CROSS JOIN versions v ON v.id = h.version
WHERE h.dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: heads_of_keys
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key = j.value
CROSS JOIN versions v ON v.id = h.version;

-- name: heads_as_of
-- The newest event of each partition up to a time; where vacuum has removed a version's files, another with its content.
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin,
    w.removed_ms IS NOT NULL AND v.id = w.id
FROM (
    SELECT s.key, s.version, max(s.entry)
    FROM shown s
    WHERE s.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND s.at_ms <= :until_ms
    GROUP BY s.key
) s
CROSS JOIN version w ON w.id = s.version
CROSS JOIN versions v ON v.id = iif(w.removed_ms IS NULL, w.id, coalesce(
    (
        SELECT max(x.id)
        FROM version x
        WHERE x.dataset = w.dataset AND x.key = w.key AND x.removed_ms IS NULL
            AND coalesce(x.origin, x.id) = coalesce(w.origin, w.id)
    ),
    w.id
));

-- name: shown_since
SELECT min(s.at_ms)
FROM version v
CROSS JOIN shown s ON s.dataset = v.dataset AND s.key = v.key AND s.version = v.id
WHERE v.id = :version;

-- name: datasets
SELECT name FROM dataset d WHERE EXISTS (SELECT 1 FROM head h WHERE h.dataset = d.id) ORDER BY name;

-- name: spelling
SELECT name FROM dataset WHERE name = :name COLLATE NOCASE ORDER BY name <> :name LIMIT 1;

-- name: version
SELECT id, dataset, key, files, rows, bytes, content, schema, created_ms, origin FROM versions WHERE id = :version;

-- name: lineage
SELECT v.id, v.dataset, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin
FROM lineage l
CROSS JOIN versions v ON v.id = l.version
WHERE l.checkpoint = :checkpoint
ORDER BY v.dataset, v.key, v.id;

-- name: checkpoints_of_dataset
SELECT attempt, run, dataset, key, version, previous, code, declared_version, inputs_digest, watermark_ms, offsets,
    started_ms, published_ms, parameters
FROM checkpoints WHERE dataset = :dataset
ORDER BY entry DESC, attempt DESC LIMIT :limit;

-- name: checkpoints_of_partition
SELECT attempt, run, dataset, key, version, previous, code, declared_version, inputs_digest, watermark_ms, offsets,
    started_ms, published_ms, parameters
FROM checkpoints WHERE dataset = :dataset AND key = :key
-- The plus keeps SQLite from walking the whole dataset in the order of entries.
ORDER BY +entry DESC, attempt DESC LIMIT :limit;

-- name: checkpoints_of_run
SELECT c.attempt, :run, d.name, c.key, c.version, c.previous, c.code, c.declared_version, c.inputs_digest,
    c.watermark_ms, c.offsets, c.started_ms, c.published_ms,
    (SELECT p.body FROM parameters p WHERE p.id = c.parameters)
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
UNION ALL
SELECT d.name, count(*), count(*)
FROM run r
JOIN moved m ON m.run = r.n
JOIN dataset d ON d.id = m.dataset
WHERE r.id = :run AND r.kind = 'rollback'
GROUP BY m.dataset
ORDER BY 1;

-- name: durations
-- What was released from quarantine had ended when gates refused it.
SELECT max(coalesce(q.at_ms, c.published_ms) - c.started_ms, 0), v.bytes
FROM checkpoint c
JOIN version v ON v.id = c.version
LEFT JOIN quarantine q ON q.attempt = c.attempt
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.run IS NOT NULL
    -- Packing files again says nothing of what making them takes.
    AND (v.origin IS NULL OR v.id <> c.attempt)
ORDER BY c.entry DESC, c.attempt DESC LIMIT :limit;

-- name: made_by_others
-- A compaction makes nothing.
SELECT c.key
FROM checkpoint c
CROSS JOIN run r ON r.n = c.run AND r.id <> :run AND r.kind <> 'compaction'
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key AND h.checkpoint = c.attempt
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset)
    AND c.entry > (
        SELECT min(seq) FROM journal WHERE run = :run AND kind <> 'publish' AND kind = 'run.submitted'
    );
