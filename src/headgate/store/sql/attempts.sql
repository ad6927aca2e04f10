-- name: last_id
SELECT last_id FROM meta;

-- name: reserve_ids
UPDATE meta SET last_id = :last WHERE last_id < :first;

-- name: add_attempt
-- What it expects to replace is the identity of the head.
INSERT INTO attempt (id, run, dataset, key, number, state, path, expects, started_ms, lead)
VALUES (
    ?1, ?2, ?3, ?4, ?5, 'running', ?6,
    (
        SELECT coalesce(v.origin, v.id)
        FROM head h
        JOIN version v ON v.id = h.version
        WHERE h.dataset = ?3 AND h.key = ?4
    ),
    ?7, ?8
);

-- name: end_attempt
UPDATE attempt
SET state = ?, finished_ms = ?, error_class = ?, error = ?, hint = ?, traceback = ?
WHERE id = ? AND state = 'running';

-- name: failed_partitions
-- What was released from quarantine can be older than what failed, and was published later.
SELECT f.key, f.id, r.id, f.error
FROM (
    SELECT dataset, key, run, state, error, finished_ms, max(id) AS id
    FROM attempt
    WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset) AND error_class IS NOT NULL
        AND (:key IS NULL OR key = :key)
    GROUP BY key
) f
JOIN run r ON r.n = f.run
WHERE (f.state = 'failed' OR (f.state IN ('retried', 'lost') AND r.state = 'failed'))
    AND NOT EXISTS (
        SELECT 1
        FROM checkpoint c
        WHERE c.dataset = f.dataset AND c.key = f.key AND (c.attempt > f.id OR c.published_ms > f.finished_ms)
    );

-- name: unsure_partitions
SELECT a.key, max(a.id), r.id, coalesce(a.error, '')
FROM run r
CROSS JOIN attempt a ON a.run = r.n AND a.dataset = (SELECT id FROM dataset WHERE name = :dataset)
WHERE a.state NOT IN ('succeeded', 'returned', 'yielded') AND (:key IS NULL OR a.key = :key) AND r.kind <> 'compaction'
    AND NOT EXISTS (SELECT 1 FROM checkpoint c WHERE c.dataset = a.dataset AND c.key = a.key AND c.attempt > a.id)
GROUP BY a.key;

-- name: give_up_attempt
UPDATE attempt SET state = 'failed' WHERE id = ? AND state = 'retried';

-- name: lose_attempts
UPDATE attempt SET state = 'lost', finished_ms = :now_ms WHERE state = 'running';

-- name: succeed_attempt
UPDATE attempt SET state = 'succeeded', finished_ms = ?, path = ? WHERE id = ?;

-- name: fence_attempt
UPDATE attempt SET state = 'fenced' WHERE id = ? AND state = 'lost';

-- name: forget_path
UPDATE attempt SET path = ''
WHERE id = :attempt AND state <> 'running' AND NOT EXISTS (SELECT 1 FROM batch WHERE attempt = :attempt)
    -- What is held may have parts that earlier attempts of the task made.
    AND NOT EXISTS (
        SELECT 1
        FROM attempt h
        CROSS JOIN quarantine q ON q.attempt = h.id AND q.state = 'held'
        WHERE h.run = attempt.run AND h.dataset = attempt.dataset AND h.key = attempt.key
    );

-- name: attempts
SELECT id, run, dataset, key, number, state, path, expects, started_ms, finished_ms, error_class, error, hint, traceback,
    lead
FROM attempts
WHERE run = :run AND (:dataset IS NULL OR dataset = :dataset) AND (:key IS NULL OR key = :key)
ORDER BY id;

-- name: running_attempts
SELECT id, run, dataset, key, number, state, path, expects, started_ms, finished_ms, error_class, error, hint, traceback,
    lead
FROM attempts WHERE state = 'running' ORDER BY id;

-- name: uncollected_attempts
SELECT id, path
FROM attempt a
WHERE state <> 'running' AND path <> ''
    AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.attempt = a.id AND q.state = 'held')
ORDER BY id;

-- name: unfinished_attempts
-- Several can have the same number: what failed in company is tried alone.
SELECT d.name, a.key, a.number, a.state, max(a.id)
FROM attempt a
JOIN dataset d ON d.id = a.dataset
WHERE a.run = (SELECT n FROM run WHERE id = :run) AND a.state NOT IN ('returned', 'yielded')
    AND NOT EXISTS (SELECT 1 FROM checkpoint c WHERE c.dataset = a.dataset AND c.key = a.key AND c.run = a.run)
GROUP BY a.dataset, a.key;

-- name: last_attempts
SELECT max(a.id), :run, d.name, a.key, a.number, a.state, a.path, a.expects, a.started_ms, a.finished_ms, a.error_class,
    a.error, a.hint, a.traceback, a.lead
FROM attempt a
JOIN dataset d ON d.id = a.dataset
WHERE a.run = (SELECT n FROM run WHERE id = :run) AND a.state NOT IN ('returned', 'yielded')
    AND NOT EXISTS (SELECT 1 FROM checkpoint c WHERE c.dataset = a.dataset AND c.key = a.key AND c.run = a.run)
GROUP BY a.dataset, a.key
ORDER BY 1;
