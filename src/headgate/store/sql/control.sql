-- name: add_command
INSERT INTO command (at_ms, run, verb, author, reason, arguments)
SELECT :at_ms, :run, :verb, :author, :reason, :arguments
WHERE :run = ''
    OR EXISTS (SELECT 1 FROM run WHERE id = :run AND state IN (SELECT value FROM json_each(:states)));

-- name: pending_commands
SELECT id, run, verb, author, reason, arguments FROM command WHERE answer IS NULL ORDER BY id;

-- name: settle_command
UPDATE command SET answer = ? WHERE id = ? AND answer IS NULL;

-- name: forget_commands
DELETE FROM command
WHERE answer IS NOT NULL AND at_ms + :kept_ms < (
    SELECT min(at_ms) FROM command WHERE id IN (SELECT value FROM json_each(:settled))
);

-- name: command_answer
SELECT answer FROM command WHERE id = :command;

-- name: save_breaker
INSERT INTO breaker (name, state, failures, cooldown_ms, until_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, failures = excluded.failures,
    cooldown_ms = excluded.cooldown_ms, until_ms = excluded.until_ms;

-- name: forget_sound_breakers
DELETE FROM breaker WHERE state = 'closed' AND failures = 0;

-- name: breakers
SELECT name, state, failures, cooldown_ms, until_ms FROM breaker ORDER BY name;

-- name: put_live
INSERT INTO live (run, at_ms, body) VALUES (:run, :at_ms, :body)
ON CONFLICT (run) DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body;

-- name: clear_live
DELETE FROM live WHERE run = :run;

-- name: live
SELECT body, at_ms FROM live WHERE run = :run;
