-- Who calls to a cluster are made as, and what a cluster shows that asks us about its callers.

-- 1: calls name the caller by impersonation. 0: they are the cluster's account alone.
ALTER TABLE clusters ADD COLUMN impersonate BIGINT NOT NULL DEFAULT 0;
-- The digest of the cluster's webhook token; NULL where it has none.
ALTER TABLE clusters ADD COLUMN webhook_digest BYTEA;
