CREATE TABLE tenants(name TEXT PRIMARY KEY, created INT, quotas TEXT) WITHOUT ROWID;
INSERT INTO tenants VALUES('acme',1,'{"sandboxes":null,"running":null,"per_minute":null,"memory":null,"disk":null}');
INSERT INTO tenants VALUES('default',1,'{"sandboxes":null,"running":null,"per_minute":null,"memory":null}');
CREATE TABLE tokens(id TEXT PRIMARY KEY, tenant TEXT, created INT, secret BLOB, body TEXT)
  WITHOUT ROWID;
INSERT INTO tokens VALUES('0123456789abcdef','acme',1,X'0707070707070707070707070707070707070707070707070707070707070707','{"id":"0123456789abcdef","tenant":"acme","role":"operator","note":"for the build","created":1,"expires":null,"revoked":null}');
CREATE TABLE confirmations(
  id TEXT PRIMARY KEY, tenant TEXT, hash TEXT, created INT, expires INT, approved TEXT, used INT,
  body TEXT
) WITHOUT ROWID;
INSERT INTO confirmations VALUES('c1','acme','abc',2,9223372036854775807,NULL,0,'{"id":"c1","tenant":"acme","sandbox":"web","title":"rm -rf build","reasons":["it deletes much"],"hash":"abc","asked_by":"0123456789abcdef","created":2,"expires":9223372036854775807,"approved_by":null,"used":false}');
CREATE TABLE answers(
  token TEXT, key TEXT, request BLOB, created INT, status INT, body BLOB, PRIMARY KEY(token, key)
) WITHOUT ROWID;
CREATE INDEX tokens_by_tenant ON tokens(tenant);
