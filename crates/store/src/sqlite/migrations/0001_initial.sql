-- The store, its identity. One row.
CREATE TABLE identity (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    store_id    BLOB NOT NULL CHECK (length(store_id) = 8),
    history_id  BLOB NOT NULL CHECK (length(history_id) = 8)
) STRICT;

-- The relationships that the log leaves: the rows of the head, those that have expired and are not removed yet too.
CREATE TABLE relationship (
    resource_definition TEXT NOT NULL,
    resource_id         TEXT NOT NULL,
    relation            TEXT NOT NULL,
    subject_definition  TEXT NOT NULL,
    subject_id          TEXT NOT NULL,              -- '*' for everybody
    subject_relation    TEXT NOT NULL,              -- '' for the object itself
    caveat              TEXT,
    context             TEXT CHECK ((context IS NULL) = (caveat IS NULL)),
    expires_at          INTEGER,                    -- microseconds since 1970
    revision            INTEGER NOT NULL,           -- the commit that wrote the row
    PRIMARY KEY (resource_definition, resource_id, relation, subject_definition, subject_id, subject_relation)
) STRICT, WITHOUT ROWID;

-- For housekeeping. There is no index by subject: it makes an import three times as slow and the file two thirds larger
-- (cargo bench -p store), and look-ups by subject are answered from the graph in memory. Deletions and preconditions
-- that name a subject but no resource read the rows of the definition, or all.
CREATE INDEX relationship_expiry ON relationship (expires_at) WHERE expires_at IS NOT NULL;

-- The log: one row for each commit. The bytes of `changes` come last, so that the rest is read without them.
CREATE TABLE log_entry (
    revision          INTEGER PRIMARY KEY,
    time              INTEGER NOT NULL,             -- microseconds since 1970, never decreasing
    hash              BLOB NOT NULL CHECK (length(hash) = 32),
    previous          BLOB NOT NULL CHECK (length(previous) = 32),
    housekeeping      INTEGER NOT NULL CHECK (housekeeping IN (0, 1)),
    schema_changed    INTEGER NOT NULL CHECK (schema_changed IN (0, 1)),
    actor             TEXT NOT NULL,
    reason            TEXT,
    metadata          TEXT,
    idempotency_key   TEXT,
    request_digest    BLOB,
    deleted_count     INTEGER NOT NULL,
    deletion_complete INTEGER NOT NULL CHECK (deletion_complete IN (0, 1)),
    changes           BLOB NOT NULL                 -- commit/canonical.rs has the form
) STRICT;

CREATE UNIQUE INDEX log_entry_idempotency_key ON log_entry (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Each schema, under the revision that set it.
CREATE TABLE schema_version (
    revision INTEGER PRIMARY KEY,
    text     TEXT NOT NULL
) STRICT;
