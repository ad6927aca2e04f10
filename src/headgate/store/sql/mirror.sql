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

-- name: mirror_reached
INSERT INTO mirror (dataset, seq, at_ms)
SELECT id, :seq, :at_ms FROM dataset WHERE name = :dataset
ON CONFLICT (dataset) DO UPDATE SET seq = excluded.seq, at_ms = excluded.at_ms, error = '';

-- name: mirror_failed
INSERT INTO mirror (dataset, seq, at_ms, error)
SELECT id, 0, 0, :error FROM dataset WHERE name = :dataset
ON CONFLICT (dataset) DO UPDATE SET error = excluded.error;

-- name: forget_mirror
DELETE FROM mirror WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset);

-- name: add_unpacked
INSERT OR IGNORE INTO unpacked (version, path) VALUES (?, ?);
