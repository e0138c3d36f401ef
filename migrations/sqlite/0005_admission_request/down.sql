-- The type of a request in PostgreSQL's admission statement; SQLite takes its values one by one.
SELECT 1;
