DROP TRIGGER standing_of_key;
DROP TRIGGER standing_of_gone_key;
DROP TRIGGER standing_of_session;
DROP TRIGGER standing_of_gone_session;
DROP TRIGGER standing_of_user;
DROP TRIGGER standing_of_gone_user;
DROP TRIGGER standing_of_role;
DROP TRIGGER standing_of_gone_role;
DELETE FROM revisions WHERE name = 'standings';
