-- name: made_from
-- Edges up from some versions. Without a bound every version is reached once, however many ways lead to it; with one,
-- at most once for each distance.
WITH RECURSIVE up (version, depth) AS (
    SELECT value, 0 FROM json_each(:versions)
    UNION
    SELECT coalesce(p.origin, p.id), iif(:depth IS NULL, 0, u.depth + 1)
    FROM up u
    CROSS JOIN lineage l ON l.checkpoint = u.version
    CROSS JOIN version p ON p.id = l.version
    WHERE :depth IS NULL OR u.depth < :depth
)
SELECT DISTINCT u.version, coalesce(p.origin, p.id), 1
FROM up u
CROSS JOIN lineage l ON l.checkpoint = u.version
CROSS JOIN version p ON p.id = l.version
WHERE :depth IS NULL OR u.depth < :depth;

-- name: made_of
-- Edges down to some versions, likewise. From one that was found again with other inputs the way does not go on: what
-- was made from it was made before.
WITH RECURSIVE down (version, depth) AS (
    SELECT value, 0 FROM json_each(:versions)
    UNION
    SELECT c.attempt, iif(:depth IS NULL, 0, d.depth + 1)
    FROM down d
    CROSS JOIN version p ON p.id = d.version OR p.origin = d.version
    CROSS JOIN lineage l ON l.version = p.id
    CROSS JOIN checkpoint c ON c.attempt = l.checkpoint AND c.version = c.attempt
    CROSS JOIN version v ON v.id = c.version AND v.origin IS NULL
    WHERE :depth IS NULL OR d.depth < :depth
)
SELECT DISTINCT coalesce(v.origin, v.id), d.version, c.version = c.attempt
FROM down d
CROSS JOIN version p ON p.id = d.version OR p.origin = d.version
CROSS JOIN lineage l ON l.version = p.id
CROSS JOIN checkpoint c ON c.attempt = l.checkpoint
CROSS JOIN version v ON v.id = c.version AND (v.origin IS NULL OR v.id <> c.attempt)
WHERE :depth IS NULL OR d.depth < :depth;

-- name: traced
SELECT v.id, e.dataset, v.key, v.files, v.rows, v.bytes, v.created_ms,
    coalesce((SELECT r.id FROM run r WHERE r.n = c.run), ''), c.code, c.declared_version,
    (SELECT p.body FROM parameters p WHERE p.id = c.parameters), e.shown_as, e.visibility,
    (
        SELECT count(*)
        FROM version w
        CROSS JOIN checkpoint n ON n.version = w.id AND n.attempt <> n.version
        WHERE w.id = v.id OR w.origin = v.id
    ),
    (
        SELECT b.id
        FROM version w
        CROSS JOIN checkpoint n ON n.version = w.id AND n.attempt <> n.version
        CROSS JOIN run b ON b.n = n.run
        WHERE w.id = v.id OR w.origin = v.id
        ORDER BY +n.entry DESC LIMIT 1
    )
FROM json_each(:versions) j
CROSS JOIN version v ON v.id = j.value
CROSS JOIN checkpoint c ON c.attempt = v.id
CROSS JOIN seen e ON e.id = v.id;

-- name: seen
SELECT e.id, e.dataset, e.key, e.visibility
FROM json_each(:versions) j
CROSS JOIN seen e ON e.id = j.value;

-- name: resting_on
SELECT DISTINCT k.identity
FROM json_each(:versions) j
CROSS JOIN version p ON p.id = j.value OR p.origin = j.value
CROSS JOIN lineage l ON l.version = p.id
CROSS JOIN vouching k ON k.attempt = l.checkpoint;

-- name: resting_on_code
SELECT DISTINCT identity FROM vouching
WHERE code = :code AND run IS NOT NULL AND published_ms >= :since_ms AND published_ms < :until_ms;

-- name: resting_on_run
SELECT DISTINCT identity FROM vouching
WHERE run = (SELECT n FROM run WHERE id = :run) AND published_ms >= :since_ms AND published_ms < :until_ms;

-- name: codes_in_use
SELECT d.name, c.code, c.declared_version, count(*), max(c.published_ms)
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
WHERE c.run IS NOT NULL AND (substr(c.code, 1, length(:text)) = :text OR c.declared_version = :text)
GROUP BY c.dataset, c.code
ORDER BY max(c.published_ms) DESC, d.name, c.code;

-- name: source_versions
SELECT v.id, d.name, v.key, v.files, v.rows, v.bytes, v.content, v.schema, v.created_ms, v.origin
FROM checkpoint c
CROSS JOIN version v ON v.id = c.attempt
CROSS JOIN dataset d ON d.id = v.dataset
WHERE c.run IS NULL AND instr(v.files, :end) > 0
ORDER BY v.id;

-- name: source_paths
SELECT DISTINCT v.files ->> '$[0][0]'
FROM checkpoint c
CROSS JOIN version v ON v.id = c.attempt
WHERE c.run IS NULL;
