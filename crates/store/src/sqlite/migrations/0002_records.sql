-- What is kept beside the relationships, each under a name of its kind: the newest value, and the commit that wrote it.
CREATE TABLE record (
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    value    BLOB    NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
