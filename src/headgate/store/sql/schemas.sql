-- name: head_schemas
SELECT h.key, s.body
FROM json_each(:keys) j
CROSS JOIN head h ON h.dataset = :dataset AND h.key = j.value
CROSS JOIN version v ON v.id = h.version
CROSS JOIN schema s ON s.id = v.schema;

-- name: newest_schema_of_others
SELECT c.key, s.body
FROM checkpoint c
CROSS JOIN head h ON h.dataset = c.dataset AND h.key = c.key AND h.checkpoint = c.attempt
CROSS JOIN version v ON v.id = h.version
CROSS JOIN schema s ON s.id = v.schema
WHERE c.dataset = :dataset AND c.run IS NOT :run
ORDER BY c.entry DESC, c.attempt DESC LIMIT 1;

-- name: first_schema_of_run
SELECT c.key, s.body
FROM checkpoint c
CROSS JOIN version v ON v.id = c.version
CROSS JOIN schema s ON s.id = v.schema
WHERE c.dataset = :dataset AND c.run = :run
ORDER BY c.entry, c.attempt LIMIT 1;
