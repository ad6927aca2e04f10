-- name: forecast
SELECT forecast FROM plan WHERE run = :run AND forecast <> '';

-- name: foretold
SELECT r.id, r.state, r.created_ms, r.finished_ms, p.forecast ->> 'p50_ms', p.forecast ->> 'p90_ms',
    EXISTS (
        SELECT 1
        FROM journal j
        WHERE j.run = r.id AND j.kind <> 'publish'
            AND j.kind NOT IN ('run.submitted', 'run.queued', 'run.running', 'run.succeeded', 'run.failed',
                'publish.together')
    ) OR EXISTS (SELECT 1 FROM attempt a WHERE a.run = r.n AND a.state = 'failed'),
    coalesce(json_array_length(p.forecast, '$.assumed'), 0) > 0
FROM plan p
JOIN run r ON r.id = p.run
WHERE p.forecast <> '' AND (:run IS NULL OR r.id = :run)
ORDER BY r.n DESC LIMIT :limit;

-- name: past_attempts
-- What was released from quarantine had ended when gates refused it.
SELECT c.attempt,
    max(coalesce(q.at_ms, c.published_ms) - c.started_ms, 0) + coalesce((
        SELECT sum(a.finished_ms - a.started_ms)
        FROM attempt a
        WHERE a.run = c.run AND a.dataset = c.dataset AND a.key = c.key AND a.state = 'yielded'
    ), 0),
    v.bytes,
    c.started_ms < (SELECT f.published_ms FROM checkpoint f WHERE f.run = c.run ORDER BY f.entry LIMIT 1),
    (SELECT count(*) FROM lineage l WHERE l.checkpoint = c.attempt)
FROM checkpoint c
JOIN version v ON v.id = c.version
LEFT JOIN quarantine q ON q.attempt = c.attempt
WHERE c.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND c.run IS NOT NULL
    -- Packing files again says nothing of what making them takes.
    AND (v.origin IS NULL OR v.id <> c.attempt)
ORDER BY c.entry DESC, c.attempt DESC LIMIT :limit;

-- name: read_bytes
SELECT l.checkpoint, sum(max(v.bytes, 0))
FROM json_each(:checkpoints) j
CROSS JOIN lineage l ON l.checkpoint = j.value
CROSS JOIN version v ON v.id = l.version
GROUP BY l.checkpoint;

-- name: failures
SELECT error_class, count(*)
FROM attempt
WHERE dataset = (SELECT id FROM dataset WHERE name = :dataset) AND id >= :first AND error_class IS NOT NULL
    AND state IN ('failed', 'retried', 'lost')
GROUP BY error_class;

-- name: head_bytes
SELECT h.key, v.bytes
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = (SELECT id FROM dataset WHERE name = :dataset) AND h.key = j.value
CROSS JOIN version v ON v.id = h.version;

-- name: spent_time
-- What went out as one call took the time of one.
SELECT d.name, count(*), sum(t.ended_ms - t.started_ms)
FROM (
    SELECT a.dataset, max(coalesce(q.at_ms, c.published_ms, a.finished_ms)) AS ended_ms,
        coalesce(min(c.started_ms), min(a.started_ms)) AS started_ms
    FROM attempt a
    LEFT JOIN checkpoint c ON c.attempt = a.id
    LEFT JOIN quarantine q ON q.attempt = a.id
    WHERE a.run = (SELECT n FROM run WHERE id = :run) AND a.state NOT IN ('running', 'returned')
    GROUP BY a.dataset, coalesce(a.lead, a.id)
) t
JOIN dataset d ON d.id = t.dataset
GROUP BY t.dataset
ORDER BY d.name;

-- name: spent_bytes
SELECT d.name,
    sum((SELECT coalesce(sum(max(u.bytes, 0)), 0) FROM lineage l JOIN version u ON u.id = l.version
        WHERE l.checkpoint = c.attempt)),
    sum(iif(c.version = c.attempt, v.bytes, 0))
FROM checkpoint c
JOIN dataset d ON d.id = c.dataset
JOIN version v ON v.id = c.version
WHERE c.run = (SELECT n FROM run WHERE id = :run)
GROUP BY c.dataset;
