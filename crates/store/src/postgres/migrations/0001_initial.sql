-- The store, its identity. One row, which `migrate` adds.
CREATE TABLE identity (
    one         boolean PRIMARY KEY CHECK (one),
    store_id    bytea NOT NULL CHECK (octet_length(store_id) = 8),
    history_id  bytea NOT NULL CHECK (octet_length(history_id) = 8)
);

-- The newest commit. One row: who commits locks it first, so that revisions are given, and become visible, in order.
CREATE TABLE head (
    one             boolean PRIMARY KEY CHECK (one),
    revision        bigint NOT NULL,
    time            bigint NOT NULL,                    -- microseconds since 1970, never decreasing
    hash            bytea NOT NULL CHECK (octet_length(hash) = 32),
    schema_revision bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO head VALUES (true, 0, 0, decode(repeat('00', 32), 'hex'), 0);

-- The relationships that the log leaves: the rows of the head, those that have expired and are not removed yet too. Keys are
-- compared as bytes, so that their order is the same in every store.
CREATE TABLE relationship (
    revision            bigint NOT NULL,                -- the commit that wrote the row
    expires_at          bigint,                         -- microseconds since 1970
    resource_definition text COLLATE "C" NOT NULL,
    resource_id         text COLLATE "C" NOT NULL,
    relation            text COLLATE "C" NOT NULL,
    subject_definition  text COLLATE "C" NOT NULL,
    subject_id          text COLLATE "C" NOT NULL,      -- '*' for everybody
    subject_relation    text COLLATE "C" NOT NULL,      -- '' for the object itself
    caveat              text,
    context             text CHECK ((context IS NULL) = (caveat IS NULL)),
    PRIMARY KEY (resource_definition, resource_id, relation, subject_definition, subject_id, subject_relation)
);

-- For housekeeping. Look-ups by subject are answered from the graph in memory, so there is no index for them.
CREATE INDEX relationship_expiry ON relationship (expires_at) WHERE expires_at IS NOT NULL;

-- The log: one row for each commit.
CREATE TABLE log_entry (
    revision          bigint PRIMARY KEY,
    time              bigint NOT NULL,
    hash              bytea NOT NULL CHECK (octet_length(hash) = 32),
    previous          bytea NOT NULL CHECK (octet_length(previous) = 32),
    housekeeping      boolean NOT NULL,
    schema_changed    boolean NOT NULL,
    actor             text NOT NULL,
    reason            text,
    metadata          text,
    idempotency_key   text,
    request_digest    bytea,
    deleted_count     bigint NOT NULL,
    deletion_complete boolean NOT NULL,
    changes           bytea NOT NULL,                   -- commit/canonical.rs has the form
    batch             bytea NOT NULL                    -- drawn for each transaction, to be known again by after a lost connection
);

CREATE UNIQUE INDEX log_entry_idempotency_key ON log_entry (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Each schema, under the revision that set it.
CREATE TABLE schema_version (
    revision bigint PRIMARY KEY,
    text     text NOT NULL
);

-- What is kept beside the relationships, each under a name of its kind: the newest value, and the commit that wrote it.
CREATE TABLE record (
    kind     text COLLATE "C" NOT NULL,
    key      text COLLATE "C" NOT NULL,
    value    bytea NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (kind, key)
);
