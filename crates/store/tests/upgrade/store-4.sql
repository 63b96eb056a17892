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
  open_operation INT,
  guard TEXT,
  life TEXT
);
INSERT INTO sandboxes VALUES(1,'web',NULL,'{"kind":"host"}',X'2f70726f6a656374','overlay','web-second',2,1795422377890692056,1795422377896544634,6,NULL,NULL);
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
  outcome TEXT,
  verdict TEXT,
  writes TEXT
);
INSERT INTO operations VALUES(1,1,'create','create web',NULL,NULL,'done','web-first',0,'web-first',0,1795422377890692056,1795422377890692056,NULL,NULL,NULL);
INSERT INTO operations VALUES(2,1,'state','write state colour',NULL,NULL,'done','web-first',0,'web-first',1,1795422377895431853,1795422377895431853,NULL,NULL,'["colour",1,"f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456",3,1795422377895287987,null]');
INSERT INTO operations VALUES(3,1,'state','write state colour',NULL,NULL,'done','web-first',1,'web-first',2,1795422377895765234,1795422377895765234,NULL,NULL,'["colour",2,"6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40",5,1795422377895727267,null]');
INSERT INTO operations VALUES(4,1,'run','some run',NULL,NULL,'done','web-first',2,'web-second',2,1795422377895928729,1795422377896017743,'{"command":null,"counts":{"added":2,"modified":0,"deleted":0,"metadata":0},"error":null}',NULL,NULL);
INSERT INTO operations VALUES(5,1,'snapshot','some snapshot',NULL,NULL,'done','web-second',2,'web-second',2,1795422377896181479,1795422377896443202,NULL,NULL,NULL);
INSERT INTO operations VALUES(6,1,'run','some run',NULL,NULL,'open','web-second',2,NULL,NULL,1795422377896544634,NULL,NULL,NULL,NULL);
CREATE TABLE snapshots(
  id INTEGER PRIMARY KEY,
  sandbox INT,
  kind TEXT,
  message TEXT,
  operation INT,
  tree TEXT,
  state_version INT,
  created INT,
  scope TEXT,
  tags TEXT,
  good INT
);
INSERT INTO snapshots VALUES(1,1,'manual','good',5,'web-second',2,1795422377896289852,NULL,NULL,NULL);
CREATE TABLE state(
  sandbox INT,
  key TEXT,
  version INT,
  hash BLOB,
  size INT,
  written INT,
  sealed TEXT,
  PRIMARY KEY(sandbox, key, version)
) WITHOUT ROWID;
INSERT INTO state VALUES(1,'colour',1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',3,1795422377895287987,NULL);
INSERT INTO state VALUES(1,'colour',2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',5,1795422377895727267,NULL);
CREATE TABLE blobs(
  id INTEGER PRIMARY KEY,
  hash BLOB UNIQUE,
  bytes BLOB
);
INSERT INTO blobs VALUES(1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',X'726564');
INSERT INTO blobs VALUES(2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',X'677265656e');
CREATE TABLE events(seq INTEGER PRIMARY KEY, body TEXT);
INSERT INTO events VALUES(0,'urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0');
INSERT INTO events VALUES(1,'{"specversion":"1.0","id":"1","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.890692056Z","authtype":"user","authid":"0","sequence":"0000000000000000001","prevhash":"c935ed1125c69a1b5b68462a425f6269ce0a29413b9a9a057da47d439e668c1d","type":"io.github.ctrlz.sandbox.created","data":{"operation":"op-1","title":"create web","snapshot":"sha256:3f00a1da254a1d646308f649b4edb43d8954bb85008978a203331b4324833640"}}');
INSERT INTO events VALUES(2,'{"specversion":"1.0","id":"2","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.895431853Z","authtype":"user","authid":"0","sequence":"0000000000000000002","prevhash":"180b67437dcdd9a4e70adadf21e337f3280e780967f695075377faa21a3a4549","type":"io.github.ctrlz.operation.started","data":{"operation":"op-2","kind":"state","title":"write state colour","snapshot":"sha256:3f00a1da254a1d646308f649b4edb43d8954bb85008978a203331b4324833640"}}');
INSERT INTO events VALUES(3,'{"specversion":"1.0","id":"3","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.895431853Z","authtype":"user","authid":"0","sequence":"0000000000000000003","prevhash":"fe8c19522a31daf4671f42c42debb7289f490edc3e077b16d401e03254de4175","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-2","kind":"state","status":"done","state":"blake3:8d87d01e20596e324bcfcc431d4725f6dbd2fd08e0825a7fd67a1aaf5e7240a5","snapshot":"sha256:c15838f0d6019f6fa69d40e4c5d9e50864e43e009592030e629fe6c0eaef0c72"}}');
INSERT INTO events VALUES(4,'{"specversion":"1.0","id":"4","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.895765234Z","authtype":"user","authid":"0","sequence":"0000000000000000004","prevhash":"8370180b84e2c8dadbcdd7a12aec60cb0960814865a310969c2d175ea7dfa825","type":"io.github.ctrlz.operation.started","data":{"operation":"op-3","kind":"state","title":"write state colour","snapshot":"sha256:c15838f0d6019f6fa69d40e4c5d9e50864e43e009592030e629fe6c0eaef0c72"}}');
INSERT INTO events VALUES(5,'{"specversion":"1.0","id":"5","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.895765234Z","authtype":"user","authid":"0","sequence":"0000000000000000005","prevhash":"1565a36f779fdc303f461a514d703561c2e349190e1c63e403e3575c40d6edcf","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-3","kind":"state","status":"done","state":"blake3:755d77c3b90966c35dd9de2817ea2c9e997505673b9aa2962af020e9832ba17d","snapshot":"sha256:706185ddd6616e4a29ad43bca7669f69e012423c84853094ec79dc65c4dac869"}}');
INSERT INTO events VALUES(6,'{"specversion":"1.0","id":"6","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.895928729Z","authtype":"user","authid":"0","sequence":"0000000000000000006","prevhash":"a0b1ebc804c53089fc17309f60add770bb30594c5053286f036c5f09c16b7eb6","type":"io.github.ctrlz.operation.started","data":{"operation":"op-4","kind":"run","title":"some run","snapshot":"sha256:706185ddd6616e4a29ad43bca7669f69e012423c84853094ec79dc65c4dac869"}}');
INSERT INTO events VALUES(7,'{"specversion":"1.0","id":"7","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.896017743Z","authtype":"user","authid":"0","sequence":"0000000000000000007","prevhash":"a0166b4af28f92d3b1fb80bc35c2ea56c0bff3bd57fbae175c12c51928546585","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-4","kind":"run","status":"done","counts":{"added":2,"modified":0,"deleted":0,"metadata":0},"snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(8,'{"specversion":"1.0","id":"8","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.896181479Z","authtype":"user","authid":"0","sequence":"0000000000000000008","prevhash":"7142e7c1f0e5e85e4952a5a1ca5f2530f0ffc4677536e174ae89156b6902dad0","type":"io.github.ctrlz.operation.started","data":{"operation":"op-5","kind":"snapshot","title":"some snapshot","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(9,'{"specversion":"1.0","id":"9","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.896289852Z","authtype":"user","authid":"0","sequence":"0000000000000000009","prevhash":"4119d30bcc240266bf737f79ce4292c37286369234b76fd02d9757b9e5d921c5","type":"io.github.ctrlz.snapshot.created","data":{"snapshot":"snap-1","kind":"manual","scope":"full","message":"good","operation":"op-5","digest":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(10,'{"specversion":"1.0","id":"10","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.896443202Z","authtype":"user","authid":"0","sequence":"0000000000000000010","prevhash":"ed6d803ba5cabd57af70f366c9a76f8961e7505f735b229aed2addbc75cd188c","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-5","kind":"snapshot","status":"done","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(11,'{"specversion":"1.0","id":"11","source":"urn:uuid:1dee68e7-5577-4a55-b512-c87a182ac5f0","subject":"web","time":"2026-11-23T08:26:17.896544634Z","authtype":"user","authid":"0","sequence":"0000000000000000011","prevhash":"4ecbc653921acde5c60a859cf317b4c261347cac70e9c5fd9c0ea3fec8bd0f78","type":"io.github.ctrlz.operation.started","data":{"operation":"op-6","kind":"run","title":"some run","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
CREATE INDEX sandboxes_by_folder ON sandboxes(folder);
CREATE INDEX operations_by_sandbox ON operations(sandbox);
CREATE INDEX snapshots_by_sandbox ON snapshots(sandbox);
