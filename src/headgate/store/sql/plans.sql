-- name: add_plan
INSERT INTO plan (
    hash, project, author, reason, service_class, created_ms, expires_ms, basis, verdict, forecast, body
)
VALUES (
    :hash, :project, :author, :reason, :service_class, :created_ms, :expires_ms, :basis, :verdict, :forecast, :body
)
ON CONFLICT (hash) DO NOTHING;

-- name: forget_plans
DELETE FROM plan
WHERE run IS NULL AND expires_ms < :before_ms AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.plan = plan.hash);

-- name: use_plan
UPDATE plan SET run = :run
WHERE hash = :hash AND run IS NULL
    AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.plan = plan.hash AND NOT is_approval);

-- name: run_of_plan
SELECT coalesce(run, '') FROM plan WHERE hash = :hash;

-- name: decide_plan
INSERT INTO decision (plan, at_ms, author, is_approval, reason)
SELECT :hash, :at_ms, :author, :is_approval, :reason
WHERE EXISTS (SELECT 1 FROM plan WHERE hash = :hash AND run IS NULL);

-- name: plan
SELECT hash, project, author, reason, service_class, created_ms, expires_ms, basis, verdict, forecast, body, run
FROM plan WHERE hash = :hash;

-- name: plans_by_prefix
SELECT hash FROM plan WHERE substr(hash, 1, length(:prefix)) = :prefix ORDER BY hash LIMIT 4;

-- name: plans
SELECT hash, project, author, reason, service_class, created_ms, expires_ms, basis, verdict, forecast, '', run
FROM plan
WHERE :project IS NULL OR project = :project
ORDER BY created_ms DESC, rowid DESC LIMIT :limit;

-- name: plan_decisions
SELECT author, is_approval, reason, at_ms FROM decision WHERE plan = :hash ORDER BY id;
