-- name: add_audit
INSERT INTO audit (attempt, gates) VALUES (?, ?);

-- name: audits
SELECT a.attempt, a.gates FROM json_each(:attempts) j CROSS JOIN audit a ON a.attempt = j.value;

-- name: warnings
SELECT d.name, count(*)
FROM checkpoint c
CROSS JOIN audit a ON a.attempt = c.attempt
JOIN dataset d ON d.id = c.dataset
WHERE c.run = (SELECT n FROM run WHERE id = :run) AND json_array_length(a.gates, '$.failed') > 0
GROUP BY d.name ORDER BY d.name;

-- name: quarantine_attempt
INSERT INTO quarantine (attempt, at_ms, candidate, gates)
SELECT id, ?, ?, ? FROM attempt WHERE id = ? AND state = 'running';

-- name: quarantined
SELECT q.candidate, q.gates, a.expects, q.at_ms, q.state, q.decided_ms, q.author, q.reason
FROM quarantine q
CROSS JOIN attempt a ON a.id = q.attempt
WHERE (:attempt IS NULL OR q.attempt = :attempt)
    AND (:run IS NULL OR a.run = (SELECT n FROM run WHERE id = :run))
    AND (:dataset IS NULL OR a.dataset = (SELECT id FROM dataset WHERE name = :dataset))
    AND (:key IS NULL OR a.key = :key)
    AND (:states IS NULL OR q.state IN (SELECT value FROM json_each(:states)))
ORDER BY q.attempt DESC LIMIT :limit;

-- name: decide_quarantine
UPDATE quarantine SET state = :state, decided_ms = :now_ms, author = :author, reason = :reason
WHERE attempt = :attempt AND state = 'held';

-- name: any_held
SELECT EXISTS (SELECT 1 FROM quarantine WHERE state = 'held');

-- name: held_before
-- What is held of the partitions of newer attempts, beside those. What a run has staged stands against nobody but itself
-- until it is published.
SELECT q.attempt, d.name, n.id, r.id
FROM json_each(:attempts) j
CROSS JOIN attempt n ON n.id = j.value
CROSS JOIN attempt a ON a.dataset = n.dataset AND a.key = n.key AND a.state = 'failed' AND a.id < n.id
CROSS JOIN quarantine q ON q.attempt = a.id AND q.state = 'held'
CROSS JOIN run r ON r.n = n.run
CROSS JOIN dataset d ON d.id = n.dataset
WHERE a.run = n.run OR NOT EXISTS (SELECT 1 FROM staged_run s WHERE s.run = n.run AND s.published_ms IS NULL)
ORDER BY q.attempt;

-- name: forgive_attempt
UPDATE attempt SET error_class = NULL, error = NULL, hint = NULL, traceback = NULL WHERE id = :attempt;

-- name: released
SELECT d.name, a.key
FROM attempt a
CROSS JOIN quarantine q ON q.attempt = a.id AND q.state = 'released'
JOIN dataset d ON d.id = a.dataset
WHERE a.run = (SELECT n FROM run WHERE id = :run);

-- name: held_files
SELECT candidate ->> '$.files' FROM quarantine WHERE state = 'held';

-- name: broken_quarantine
SELECT q.attempt, q.state
FROM quarantine q
LEFT JOIN attempt a ON a.id = q.attempt
LEFT JOIN checkpoint c ON c.attempt = q.attempt
WHERE a.id IS NULL
    OR (q.state = 'released') <> (c.attempt IS NOT NULL)
    OR (q.state = 'held' AND (a.state <> 'failed' OR a.path = ''))
ORDER BY q.attempt;
