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
INSERT INTO sandboxes VALUES(1,'web',NULL,'{"kind":"host"}',X'2f70726f6a656374','overlay','web-second',2,1795436280342496884,1795436280347900698,7,NULL,NULL);
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
INSERT INTO operations VALUES(1,1,'create','create web',NULL,NULL,'done','web-first',0,'web-first',0,1795436280342496884,1795436280342496884,NULL,NULL,NULL);
INSERT INTO operations VALUES(2,1,'state','write state colour',NULL,NULL,'done','web-first',0,'web-first',1,1795436280346787466,1795436280346787466,NULL,NULL,'["colour",1,"f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456",3,1795436280346664472,null]');
INSERT INTO operations VALUES(3,1,'state','write state colour',NULL,NULL,'done','web-first',1,'web-first',2,1795436280347059264,1795436280347059264,NULL,NULL,'["colour",2,"6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40",5,1795436280347023190,null]');
INSERT INTO operations VALUES(4,1,'run','some run',NULL,NULL,'done','web-first',2,'web-second',2,1795436280347203271,1795436280347281408,'{"command":null,"counts":{"added":2,"modified":0,"deleted":0,"metadata":0},"error":null}',NULL,NULL);
INSERT INTO operations VALUES(5,1,'snapshot','some snapshot',NULL,NULL,'done','web-second',2,'web-second',2,1795436280347431503,1795436280347663462,NULL,NULL,NULL);
INSERT INTO operations VALUES(6,1,'write','some write',NULL,NULL,'done','web-second',2,'web-second',2,1795436280347758434,1795436280347826366,'{"command":null,"counts":{"added":0,"modified":1,"deleted":0,"metadata":0},"error":null}',NULL,NULL);
INSERT INTO operations VALUES(7,1,'run','some run',NULL,NULL,'open','web-second',2,NULL,NULL,1795436280347900698,NULL,NULL,NULL,NULL);
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
  good INT,
  live TEXT
);
INSERT INTO snapshots VALUES(1,1,'manual','good',5,'web-second',2,1795436280347522570,NULL,NULL,NULL,NULL);
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
INSERT INTO state VALUES(1,'colour',1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',3,1795436280346664472,NULL);
INSERT INTO state VALUES(1,'colour',2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',5,1795436280347023190,NULL);
CREATE TABLE blobs(
  id INTEGER PRIMARY KEY,
  hash BLOB UNIQUE,
  bytes BLOB
);
INSERT INTO blobs VALUES(1,X'f56622ae0bb66aecb5b1477fb1447bad030fb3f75d49f83d501915fe5cb4c456',X'726564');
INSERT INTO blobs VALUES(2,X'6699775666cc5768c85f63418472c290131d6cf86de1b2225977fbfbbf81ae40',X'677265656e');
CREATE TABLE events(seq INTEGER PRIMARY KEY, body TEXT);
INSERT INTO events VALUES(0,'urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801');
INSERT INTO events VALUES(1,'{"specversion":"1.0","id":"1","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.342496884Z","authtype":"user","authid":"0","sequence":"0000000000000000001","prevhash":"873c2c62ae55ed6ac6b97ef8f52b966d21db85c6e050919d7a796829764a2349","type":"io.github.ctrlz.sandbox.created","data":{"operation":"op-1","title":"create web","snapshot":"sha256:3f00a1da254a1d646308f649b4edb43d8954bb85008978a203331b4324833640"}}');
INSERT INTO events VALUES(2,'{"specversion":"1.0","id":"2","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.346787466Z","authtype":"user","authid":"0","sequence":"0000000000000000002","prevhash":"a9e1866215917b2aed2989a98be119b084e75e75663758efa7bfca5abcf12888","type":"io.github.ctrlz.operation.started","data":{"operation":"op-2","kind":"state","title":"write state colour","snapshot":"sha256:3f00a1da254a1d646308f649b4edb43d8954bb85008978a203331b4324833640"}}');
INSERT INTO events VALUES(3,'{"specversion":"1.0","id":"3","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.346787466Z","authtype":"user","authid":"0","sequence":"0000000000000000003","prevhash":"cc0a9461490bcf9671130c530f754cf0bdf79a7c32f1db42e82d13896421b6c8","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-2","kind":"state","status":"done","state":"blake3:5e3c2bdd190e797dc93284b0c7dcf89e6511310c690a035dd705417f1148b47c","snapshot":"sha256:c15838f0d6019f6fa69d40e4c5d9e50864e43e009592030e629fe6c0eaef0c72"}}');
INSERT INTO events VALUES(4,'{"specversion":"1.0","id":"4","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347059264Z","authtype":"user","authid":"0","sequence":"0000000000000000004","prevhash":"68cbb44a98a79f284bda9733d1d791a850a2a285d4ab046c154315552acb2dc6","type":"io.github.ctrlz.operation.started","data":{"operation":"op-3","kind":"state","title":"write state colour","snapshot":"sha256:c15838f0d6019f6fa69d40e4c5d9e50864e43e009592030e629fe6c0eaef0c72"}}');
INSERT INTO events VALUES(5,'{"specversion":"1.0","id":"5","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347059264Z","authtype":"user","authid":"0","sequence":"0000000000000000005","prevhash":"ed929c01324e655540dd25d939c4d926ad2d1dadb527f6c02fc48ec3a42f49fe","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-3","kind":"state","status":"done","state":"blake3:2f5aa725f2d10ab0ffebbda6dcd90d66f32b963690f360b34683a6df654e30f1","snapshot":"sha256:706185ddd6616e4a29ad43bca7669f69e012423c84853094ec79dc65c4dac869"}}');
INSERT INTO events VALUES(6,'{"specversion":"1.0","id":"6","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347203271Z","authtype":"user","authid":"0","sequence":"0000000000000000006","prevhash":"31962f113a9d91f3e682b3969b8c18b849b2288f1e996deba40abfc4dd8a8fb8","type":"io.github.ctrlz.operation.started","data":{"operation":"op-4","kind":"run","title":"some run","snapshot":"sha256:706185ddd6616e4a29ad43bca7669f69e012423c84853094ec79dc65c4dac869"}}');
INSERT INTO events VALUES(7,'{"specversion":"1.0","id":"7","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347281408Z","authtype":"user","authid":"0","sequence":"0000000000000000007","prevhash":"87a8f4aedf25bd7f4a68f046ee4f19057c8d431145832bb754b2e5739fc8ee8e","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-4","kind":"run","status":"done","counts":{"added":2,"modified":0,"deleted":0,"metadata":0},"snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(8,'{"specversion":"1.0","id":"8","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347431503Z","authtype":"user","authid":"0","sequence":"0000000000000000008","prevhash":"2007a7f1cf49eb38cad95a2bdae3dcd620526d91ddba99ca5e4fe8fc71a4a148","type":"io.github.ctrlz.operation.started","data":{"operation":"op-5","kind":"snapshot","title":"some snapshot","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(9,'{"specversion":"1.0","id":"9","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347522570Z","authtype":"user","authid":"0","sequence":"0000000000000000009","prevhash":"5d65a15f0386f9d7d338cda824506c2ea7895db835bc8ae6aeac3a32dc7d3e84","type":"io.github.ctrlz.snapshot.created","data":{"snapshot":"snap-1","kind":"manual","scope":"full","message":"good","operation":"op-5","digest":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(10,'{"specversion":"1.0","id":"10","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347663462Z","authtype":"user","authid":"0","sequence":"0000000000000000010","prevhash":"6ac9cc41af347dbf6e387a9a285433e0ca0394dc69a68c842a22aaa604690831","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-5","kind":"snapshot","status":"done","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(11,'{"specversion":"1.0","id":"11","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347758434Z","authtype":"user","authid":"0","sequence":"0000000000000000011","prevhash":"889bf8076a64f0bf0308cc4397d5870dec8d203b2ca626658c671bf0c8ad2ac1","type":"io.github.ctrlz.operation.started","data":{"operation":"op-6","kind":"write","title":"some write","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(12,'{"specversion":"1.0","id":"12","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347826366Z","authtype":"user","authid":"0","sequence":"0000000000000000012","prevhash":"69b87c648e3d2fbdb829f9280543f909763a8fd4362459d2624cb4d9d005663e","type":"io.github.ctrlz.operation.finished","data":{"operation":"op-6","kind":"write","status":"done","counts":{"added":0,"modified":1,"deleted":0,"metadata":0},"snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
INSERT INTO events VALUES(13,'{"specversion":"1.0","id":"13","source":"urn:uuid:be04dfca-369b-40c8-9c1b-246fba297801","subject":"web","time":"2026-11-23T12:18:00.347900698Z","authtype":"user","authid":"0","sequence":"0000000000000000013","prevhash":"d693ebf515bff84e1ee5bb3f29f2ae1df3e105cda39ae118a7b714fc02a68df5","type":"io.github.ctrlz.operation.started","data":{"operation":"op-7","kind":"run","title":"some run","snapshot":"sha256:08946808c8c940663e876d7e58ad12d7918d65cba9952025c735c8b748d5ef68"}}');
CREATE INDEX sandboxes_by_folder ON sandboxes(folder);
CREATE INDEX operations_by_sandbox ON operations(sandbox);
CREATE INDEX snapshots_by_sandbox ON snapshots(sandbox);
