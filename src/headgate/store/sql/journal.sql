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

-- name: journal_entries
SELECT seq, at_ms, author, kind, run, reason, body, hash
FROM (
    SELECT *
    FROM journal
    WHERE (:run IS NULL OR run = :run)
        AND (:kind IS NULL OR kind = :kind OR substr(kind, 1, length(:kind) + 1) IN (:kind || '.', :kind || ' '))
        AND (:since_ms IS NULL OR at_ms >= :since_ms)
    ORDER BY seq DESC
    LIMIT coalesce(:limit, -1)
)
ORDER BY seq;

-- name: add_meta
INSERT INTO meta (one, store, last_id) VALUES (1, :store, 0);
