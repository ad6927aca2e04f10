-- name: heads_now
SELECT coalesce((SELECT max(seq) FROM journal), 0), (
    SELECT group_concat(version) FROM head WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset)
);

-- name: shown_versions
SELECT v.id, v.files, v.content, v.created_ms
FROM json_each(:versions) j
CROSS JOIN version v ON v.id = j.value;

-- name: unpacked
SELECT u.path, v.rows, v.content
FROM unpacked u
CROSS JOIN version v ON v.id = u.version
WHERE v.dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: mirrors
SELECT d.name, m.seq, m.at_ms, m.error,
    (SELECT count(DISTINCT s.key) FROM shown s WHERE s.dataset = m.dataset AND s.entry > m.seq)
FROM mirror m
JOIN dataset d ON d.id = m.dataset
ORDER BY d.name;

-- name: stuck_mirrors
SELECT d.name, m.error
FROM mirror m
JOIN dataset d ON d.id = m.dataset
WHERE m.error <> ''
ORDER BY d.name;

-- name: has_mirror
SELECT EXISTS (SELECT 1 FROM mirror WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset));

-- name: begin_mirror
INSERT OR IGNORE INTO mirror (dataset, seq, at_ms) SELECT id, 0, 0 FROM dataset WHERE name = :dataset;

-- name: mirror_reached
UPDATE mirror SET seq = :seq, at_ms = :at_ms, error = ''
WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: mirror_failed
UPDATE mirror SET error = :error WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: forget_mirror
DELETE FROM mirror WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: add_unpacked
INSERT OR IGNORE INTO unpacked (version, path) VALUES (?, ?);
