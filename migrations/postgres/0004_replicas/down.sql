DELETE FROM revisions WHERE name = 'cuts';
DROP TABLE cuts;
DROP TABLE replicas;
