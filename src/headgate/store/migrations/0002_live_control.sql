ALTER TABLE run ADD COLUMN service_class TEXT NOT NULL DEFAULT 'backfill';
ALTER TABLE run ADD COLUMN controls TEXT NOT NULL DEFAULT '';

-- The plan stays the last column.
ALTER TABLE run RENAME COLUMN plan TO long;
ALTER TABLE run ADD COLUMN plan TEXT NOT NULL DEFAULT '';
UPDATE run SET plan = long;
ALTER TABLE run DROP COLUMN long;

ALTER TABLE command ADD COLUMN arguments TEXT NOT NULL DEFAULT '{}';
-- NULL while it waits for the coordinator; empty for accepted, else why it was refused.
ALTER TABLE command ADD COLUMN answer TEXT;
CREATE INDEX command_pending ON command (id) WHERE answer IS NULL;

-- Those that are closed without failures are left out.
CREATE TABLE breaker (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    failures INTEGER NOT NULL,
    cooldown_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What the coordinator last said of a run, as JSON.
CREATE TABLE live (
    run TEXT PRIMARY KEY REFERENCES run (id),
    at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
);
