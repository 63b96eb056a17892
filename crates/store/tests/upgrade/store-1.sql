CREATE TABLE sandboxes(
  id INTEGER PRIMARY KEY,
  name TEXT UNIQUE,
  folder BLOB,
  root TEXT,
  base BLOB,
  driver TEXT,
  tree TEXT,
  state_version INT,
  created INT,
  used INT,
  open_operation INT
);
INSERT INTO sandboxes VALUES(1,'web',NULL,'{"kind":"host"}',X'2f70726f6a656374','overlay','web-second',2,1795422061130827071,1795422061139172692,4);
CREATE TABLE operations(
  id INTEGER PRIMARY KEY,
  sandbox INT,
  kind TEXT,
  title TEXT,
  limits TEXT,
  target INT,
  status TEXT,
  before_tree TEXT,
  before_version INT,
  after_tree TEXT,
  after_version INT,
  started INT,
  finished INT,
  outcome TEXT
);
INSERT INTO operations VALUES(1,1,'create','create web',NULL,NULL,'done','web-first',0,'web-first',0,1795422061130827071,1795422061130827071,NULL);
INSERT INTO operations VALUES(2,1,'run','some run',NULL,NULL,'done','web-first',2,'web-second',2,1795422061138815545,1795422061138878290,'{"command":null,"counts":{"added":2,"modified":0,"deleted":0,"metadata":0},"error":null}');
INSERT INTO operations VALUES(3,1,'snapshot','some snapshot',NULL,NULL,'done','web-second',2,'web-second',2,1795422061138966742,1795422061139134775,NULL);
INSERT INTO operations VALUES(4,1,'run','some run',NULL,NULL,'open','web-second',2,NULL,NULL,1795422061139172692,NULL,NULL);
CREATE TABLE snapshots(
  id INTEGER PRIMARY KEY,
  sandbox INT,
  kind TEXT,
  message TEXT,
  operation INT,
  tree TEXT,
  state_version INT,
  created INT
);
INSERT INTO snapshots VALUES(1,1,'manual','good',3,'web-second',2,1795422061139002957);
CREATE TABLE state(
  sandbox INT,
  key TEXT,
  version INT,
  hash BLOB,
  size INT,
  written INT,
  PRIMARY KEY(sandbox, key, version)
) WITHOUT ROWID;
INSERT INTO state VALUES(1,'colour',1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',3,1795422061138649136);
INSERT INTO state VALUES(1,'colour',2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',5,1795422061138755125);
CREATE TABLE blobs(
  id INTEGER PRIMARY KEY,
  hash BLOB UNIQUE,
  bytes BLOB
);
INSERT INTO blobs VALUES(1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',X'726564');
INSERT INTO blobs VALUES(2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',X'677265656e');
CREATE INDEX sandboxes_by_folder ON sandboxes(folder);
CREATE INDEX operations_by_sandbox ON operations(sandbox);
CREATE INDEX snapshots_by_sandbox ON snapshots(sandbox);
