-- name: save_batch
INSERT INTO batch (dataset, key, run, seq, attempt, path, rows, bytes, hash, content, resume_from, schema, watermark_ms,
    offsets, inputs_digest, code)
SELECT a.dataset, a.key, a.run,
    1 + coalesce((SELECT max(b.seq) FROM batch b WHERE b.dataset = a.dataset AND b.key = a.key AND b.run = a.run), 0),
    a.id, :path, :rows, :bytes, :hash, :content, :resume_from, :schema, :watermark_ms, :offsets, :inputs_digest, :code
FROM attempt a
WHERE a.id = :attempt AND a.state = 'running';

-- name: batches
SELECT b.key, b.attempt, b.path, b.rows, b.bytes, b.hash, b.content, b.resume_from, s.body, b.watermark_ms, b.offsets,
    b.inputs_digest, b.code
FROM json_each(:keys) j
CROSS JOIN batch b ON b.dataset = :dataset AND b.key = j.value AND b.run = :run
JOIN schema s ON s.id = b.schema
ORDER BY b.key, b.seq;

-- name: forget_batches
DELETE FROM batch WHERE dataset = ? AND key = ? AND run = ?;

-- name: forget_batches_of_run
DELETE FROM batch WHERE run = :run;

-- name: forget_batches_of_no_use
-- All of a task or nothing: what is left of a part of them would be taken for all that was saved.
DELETE FROM batch WHERE (dataset, key, run) IN (
    SELECT b.dataset, b.key, b.run
    FROM batch b
    WHERE b.run = :run
    GROUP BY b.dataset, b.key, b.run
    HAVING :is_done
        OR max(b.attempt) < (SELECT max(c.attempt) FROM checkpoint c WHERE c.dataset = b.dataset AND c.key = b.key)
);

-- name: any_batch
SELECT EXISTS (SELECT 1 FROM batch);

-- name: forget_published_batches
DELETE FROM batch
WHERE dataset = ? AND key = ?
    AND (run = ? OR run IN (SELECT n FROM run WHERE state IN ('failed', 'cancelled', 'running')));

-- name: saved_paths
SELECT path FROM batch;

-- name: made_files
SELECT v.files
FROM json_each(:attempts) j
CROSS JOIN attempt a ON a.id = j.value
CROSS JOIN checkpoint c ON c.dataset = a.dataset AND c.key = a.key AND c.run = a.run
JOIN version v ON v.id = c.version;
