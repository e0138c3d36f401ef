-- The servers of this database, and what each has to end when rights are taken away.

CREATE TABLE replicas (
    id BLOB NOT NULL PRIMARY KEY,
    -- Raised by every renewal of its lease: one that stands still is gone.
    renewals INTEGER NOT NULL,
    -- The number of the last cut that it has carried out, with all before.
    acknowledged INTEGER NOT NULL,
    joined_at INTEGER NOT NULL
) STRICT;

-- What is to be ended: `subject` may do less than before.
CREATE TABLE cuts (
    number INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject BLOB,
    at INTEGER NOT NULL
) STRICT;

-- The number of the newest cut. Whoever takes the next one holds this row until it commits, so that numbers become visible
-- in their order.
INSERT INTO revisions (name, version) VALUES ('cuts', 0);
