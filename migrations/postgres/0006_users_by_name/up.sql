-- Users by their names, small and capital letters alike, as they are listed and looked for; byte by byte, whatever the
-- database's own order is.
CREATE INDEX users_by_name ON users (lower(name COLLATE "C"), id) WHERE deleted_at IS NULL;
