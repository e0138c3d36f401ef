ALTER TABLE clusters DROP COLUMN webhook_digest;
ALTER TABLE clusters DROP COLUMN impersonate;
