-- Users by their names, small and capital letters alike, as they are listed and looked for.
CREATE INDEX users_by_name ON users (lower(name), id) WHERE deleted_at IS NULL;
