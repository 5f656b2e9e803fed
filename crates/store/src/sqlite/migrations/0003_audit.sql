-- The audit log: one row for each commit since it began, kept for good. audit/entry.rs has the forms.
CREATE TABLE audit_entry (
    idx    INTEGER PRIMARY KEY,                     -- from 0 on, without a gap
    header BLOB NOT NULL,                           -- names nobody
    leaf   BLOB NOT NULL CHECK (length(leaf) = 32), -- its hash in the tree
    body   BLOB NOT NULL                            -- the parts, which can be erased
) STRICT;

-- The hashes of the tree over 256, 65,536, .. entries; those between are worked out.
CREATE TABLE audit_node (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- Signed checkpoints, by how many entries they are of.
CREATE TABLE audit_checkpoint (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;

-- The revision after which the log begins. One row.
CREATE TABLE audit_log (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    begin INTEGER NOT NULL
) STRICT;

INSERT INTO audit_log SELECT 1, coalesce(max(revision), 0) FROM log_entry;
