-- Plans that people were shown, so that exactly what was shown can be approved and run.
CREATE TABLE plan (
    hash TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    service_class TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- The run that it became.
    run TEXT REFERENCES run (id),
    -- JSON: the state of the world that it was made from, what the guard rails said, and the forecast.
    basis TEXT NOT NULL,
    verdict TEXT NOT NULL,
    forecast TEXT NOT NULL,
    -- Last, because it can be long.
    body TEXT NOT NULL
);

CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    plan TEXT NOT NULL REFERENCES plan (hash),
    at_ms INTEGER NOT NULL,
    author TEXT NOT NULL,
    is_approval INTEGER NOT NULL,
    reason TEXT NOT NULL
);

CREATE INDEX decision_plan ON decision (plan);

CREATE INDEX plan_run ON plan (run) WHERE run IS NOT NULL;
CREATE INDEX attempt_failure ON attempt (dataset, id) WHERE error_class IS NOT NULL;
CREATE INDEX attempt_failed ON attempt (run) WHERE state = 'failed';
CREATE INDEX journal_run ON journal (run, seq) WHERE kind <> 'publish';
