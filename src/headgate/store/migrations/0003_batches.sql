-- Progress inside attempts that have not been published: what the next attempt of the task goes on from.
CREATE TABLE batch (
    run INTEGER NOT NULL REFERENCES run (n),
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    key TEXT NOT NULL,
    -- 1, 2, 3 ... over all attempts of the task.
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    path TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hash TEXT NOT NULL,
    content TEXT NOT NULL,
    -- JSON: a whole number or a text.
    resume_from TEXT NOT NULL,
    schema INTEGER NOT NULL REFERENCES schema (id),
    watermark_ms INTEGER,
    offsets TEXT,
    inputs_digest INTEGER NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (dataset, key, run, seq)
) WITHOUT ROWID;

CREATE INDEX batch_attempt ON batch (attempt);
