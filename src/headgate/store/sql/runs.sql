-- name: add_run
INSERT INTO run (id, kind, state, reason, author, plan_hash, created_ms, finished_ms, plan)
VALUES (:id, :kind, :state, :reason, :author, :plan_hash, :created_ms, :finished_ms, :plan);

-- name: run_number_and_state
SELECT n, state FROM run WHERE id = :run;

-- name: set_run_state
UPDATE run SET state = :state, finished_ms = :finished_ms WHERE n = :n;

-- name: run
SELECT id, kind, state, reason, author, plan, plan_hash, created_ms, finished_ms FROM run WHERE id = :run;

-- name: runs_by_prefix
SELECT id FROM run WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 4;

-- name: runs
SELECT id, kind, state, reason, author, '', plan_hash, created_ms, finished_ms
FROM run
WHERE :states IS NULL OR state IN (SELECT value FROM json_each(:states))
ORDER BY created_ms DESC, n DESC LIMIT :limit;

-- name: add_command
INSERT INTO command (at_ms, run, verb, author, reason)
SELECT :at_ms, id, :verb, :author, :reason FROM run
WHERE id = :run AND state IN (SELECT value FROM json_each(:states));

-- name: pending_commands
SELECT id, run, verb, author, reason FROM command ORDER BY id;

-- name: settle_command
DELETE FROM command WHERE id = ?;
