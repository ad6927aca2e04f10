-- name: add_run
INSERT INTO run (id, kind, state, reason, author, plan_hash, created_ms, finished_ms, service_class, controls, plan)
VALUES (:id, :kind, :state, :reason, :author, :plan_hash, :created_ms, :finished_ms, :service_class, :controls, :plan);

-- name: run_number_and_state
SELECT n, state FROM run WHERE id = :run;

-- name: set_run_state
UPDATE run SET state = :state, finished_ms = :finished_ms WHERE n = :n;

-- name: set_run_controls
UPDATE run SET controls = :controls WHERE id = :run;

-- name: run
SELECT id, kind, state, reason, author, plan, plan_hash, created_ms, finished_ms, service_class, controls,
    coalesce((SELECT iif(s.needs_approval, 'approved', 'together') FROM staged_run s WHERE s.run = n), 'each')
FROM run WHERE id = :run;

-- name: runs_by_prefix
SELECT id FROM run WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 4;

-- name: runs
SELECT id, kind, state, reason, author, '', plan_hash, created_ms, finished_ms, service_class, controls,
    coalesce((SELECT iif(s.needs_approval, 'approved', 'together') FROM staged_run s WHERE s.run = n), 'each')
FROM run
WHERE :states IS NULL OR state IN (SELECT value FROM json_each(:states))
ORDER BY created_ms DESC, n DESC LIMIT :limit;

-- name: taken
SELECT t.key, t.value
FROM (
    SELECT body FROM journal
    WHERE run = :run AND kind <> 'publish' AND substr(kind, 1, 4) = 'run.'
    ORDER BY seq DESC LIMIT 1
) last, json_each(last.body, '$.taken') t
ORDER BY t.key;
