-- name: store_id
SELECT store FROM meta;

-- name: journal_head
SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1;

-- name: journal_hash
SELECT hash FROM journal WHERE seq = :seq;

-- name: add_entry
INSERT INTO journal (seq, at_ms, author, kind, run, reason, body, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: journal
SELECT seq, at_ms, author, kind, run, reason, body, hash FROM journal ORDER BY seq;

-- name: journal_tail
SELECT seq, at_ms, author, kind, run, reason, body, hash
FROM (SELECT * FROM journal ORDER BY seq DESC LIMIT :limit) ORDER BY seq;

-- name: add_meta
INSERT INTO meta (one, store, last_id) VALUES (1, :store, 0);
