-- The audit log: one row for each commit since it began, kept for good. audit/entry.rs has the forms.
CREATE TABLE audit_entry (
    idx    bigint PRIMARY KEY,                          -- from 0 on, without a gap
    header bytea NOT NULL,                              -- names nobody
    leaf   bytea NOT NULL CHECK (octet_length(leaf) = 32),
    body   bytea NOT NULL                               -- the parts, which can be erased
);

-- The hashes of the tree over 256, 65,536, .. entries; those between are worked out.
CREATE TABLE audit_node (
    level integer NOT NULL,
    idx   bigint NOT NULL,
    hash  bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, idx)
);

-- Signed checkpoints, by how many entries they are of.
CREATE TABLE audit_checkpoint (
    size bigint PRIMARY KEY,
    note text NOT NULL
);

-- Where the log begins and how long it is. A program that does not know of it puts the head forward without it, and is refused: no
-- commit goes unaudited.
ALTER TABLE head ADD COLUMN audit_begin bigint NOT NULL DEFAULT 0, ADD COLUMN audit_size bigint NOT NULL DEFAULT 0;
UPDATE head SET audit_begin = revision;
ALTER TABLE head ADD CONSTRAINT head_is_audited CHECK (audit_begin + audit_size = revision);
