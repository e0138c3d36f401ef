-- The servers of this database, and what each has to end when rights are taken away.

CREATE TABLE replicas (
    id BYTEA NOT NULL PRIMARY KEY,
    -- Raised by every renewal of its lease: one that stands still is gone.
    renewals BIGINT NOT NULL,
    -- The number of the last cut that it has carried out, with all before.
    acknowledged BIGINT NOT NULL,
    joined_at BIGINT NOT NULL
);

-- What is to be ended: `subject` may do less than before.
CREATE TABLE cuts (
    number BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject BYTEA,
    at BIGINT NOT NULL
);

-- The number of the newest cut. Whoever takes the next one holds this row until it commits, so that numbers become visible
-- in their order.
INSERT INTO revisions (name, version) VALUES ('cuts', 0);
