//! Who may use the service: tenants, tokens, confirmations and answers, in a database of its own
//! beside the store's: `service.db`.
//!
//! Of a token's secret there is its SHA-256. A secret is 256 random bits, so that nothing is found by
//! trying, and a slow digest would slow down every call alone.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{
    Answered, Confirmation, Quotas, Registry, Replay, Tenant, TenantName, Token,
};
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::beside::Kind;
use crate::fault::{Fault, Refusal};

/// The database's name in the service's directory.
pub const REGISTRY: &str = "service.db";

/// What the database is: "ctls". A token that was revoked stays so when the machine dies.
const KIND: Kind = Kind {
    action: "open the service's registry",
    application: 0x6374_6c73,
    format: 2,
    tables: TABLES,
    upgrades: &["ALTER TABLE answers ADD COLUMN headers TEXT"],
    patience: Duration::from_secs(10),
    synchronous: "FULL",
};

/// How many answers of one token are kept, and how many bytes of them.
const ANSWERS: i64 = 16_384;
const ANSWERED: i64 = 64 << 20;
/// After how many new ones it is looked for those to forget, which reads all of a token's.
const FORGETTING: u64 = 64;

/// Times are nanoseconds since 1970, bodies are JSON.
const TABLES: &str = "
CREATE TABLE tenants(name TEXT PRIMARY KEY, created INT, quotas TEXT) WITHOUT ROWID;
CREATE TABLE tokens(id TEXT PRIMARY KEY, tenant TEXT, created INT, secret BLOB, body TEXT)
  WITHOUT ROWID;
CREATE INDEX tokens_by_tenant ON tokens(tenant);
CREATE TABLE confirmations(
  id TEXT PRIMARY KEY, tenant TEXT, hash TEXT, created INT, expires INT, approved TEXT, used INT,
  body TEXT
) WITHOUT ROWID;
CREATE TABLE answers(
  token TEXT, key TEXT, request BLOB, created INT, status INT, body BLOB, headers TEXT,
  PRIMARY KEY(token, key)
) WITHOUT ROWID;
";

/// The registry in one file.
#[derive(Debug)]
pub struct SqliteRegistry {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// How many answers were begun.
    begun: AtomicU64,
}

impl SqliteRegistry {
    /// Opens the one in `directory`, which has the owner as tenant; makes it when there is none.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a newer ctrlz.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let path = directory.join(REGISTRY);
        let connection = Mutex::new(KIND.open(&path)?);
        let registry = Self { path, connection, begun: AtomicU64::default() };
        let owner = TenantName::owner();
        if registry.tenant(&owner)?.is_none() {
            let quotas = Quotas::default();
            registry.put_tenant(&Tenant { name: owner, created: now, quotas })?;
        }
        Ok(registry)
    }

    fn with<T>(
        &self,
        action: &'static str,
        behavior: TransactionBehavior,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        // Whoever panicked here left a transaction that was taken back.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || -> Result<T, Fault> {
            let transaction = Transaction::new_unchecked(&connection, behavior)?;
            let value = step(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|fault| fault.during(action, &self.path))
    }

    fn read<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.with(action, TransactionBehavior::Deferred, step)
    }

    fn write<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.with(action, TransactionBehavior::Immediate, step)
    }
}

/// Forgets what is too old, and of this token what is beyond what is kept, the oldest first; but nothing that
/// is still being carried out.
fn forget_answers(tx: &Transaction<'_>, token: &str, oldest: Timestamp) -> Result<(), Fault> {
    tx.execute("DELETE FROM answers WHERE created < ?", [oldest.0])?;
    let sql = "DELETE FROM answers WHERE token = ?1 AND status IS NOT NULL AND key IN (
             SELECT key FROM (
                 SELECT key, row_number() OVER newest AS number,
                     sum(ifnull(length(body), 0)) OVER newest AS bytes
                 FROM answers WHERE token = ?1
                 WINDOW newest AS (ORDER BY created DESC, key ROWS UNBOUNDED PRECEDING)
             ) WHERE number > ?2 OR bytes > ?3
         )";
    tx.execute(sql, params![token, ANSWERS, ANSWERED])?;
    Ok(())
}

fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|source| Refusal::Encode { what, source }.into())
}

fn from_json<T: DeserializeOwned>(what: &'static str, text: String) -> Result<T, Fault> {
    serde_json::from_str(&text)
        .map_err(|source| Refusal::BadRow { what, text, source: Box::new(source) }.into())
}

fn named(text: String) -> Result<TenantName, Fault> {
    text.parse().map_err(|source| {
        Refusal::BadRow { what: "a tenant's name", text, source: Box::new(source) }.into()
    })
}

type TenantRow = (String, i64, String);

fn tenant_row(row: &Row<'_>) -> rusqlite::Result<TenantRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn tenant((name, created, quotas): TenantRow) -> Result<Tenant, Fault> {
    let (name, quotas) = (named(name)?, from_json("quotas", quotas)?);
    Ok(Tenant { name, created: Timestamp(created), quotas })
}

type ConfirmationRow = (String, Option<String>, bool);

fn confirmation((body, approved_by, used): ConfirmationRow) -> Result<Confirmation, Fault> {
    let asked: Confirmation = from_json("a confirmation", body)?;
    Ok(Confirmation { approved_by, used, ..asked })
}

impl Registry for SqliteRegistry {
    fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read("read the tenants", |tx| {
            let mut statement = tx.prepare("SELECT name, created, quotas FROM tenants")?;
            let rows = statement.query_map([], tenant_row)?.collect::<Result<Vec<_>, _>>()?;
            rows.into_iter().map(tenant).collect()
        })
    }

    fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        self.read("read a tenant", |tx| {
            let sql = "SELECT name, created, quotas FROM tenants WHERE name = ?";
            let mut found = tx.prepare_cached(sql)?;
            found.query_row([name.as_str()], tenant_row).optional()?.map(tenant).transpose()
        })
    }

    fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.write("write a tenant", |tx| {
            let quotas = to_json("quotas", &tenant.quotas)?;
            tx.execute(
                "INSERT INTO tenants VALUES(?, ?, ?)
                 ON CONFLICT(name) DO UPDATE SET quotas = excluded.quotas",
                params![tenant.name.as_str(), tenant.created.0, quotas],
            )?;
            Ok(())
        })
    }

    fn remove_tenant(&self, name: &TenantName) -> Result<bool, StoreError> {
        self.write("remove a tenant", |tx| {
            let name = [name.as_str()];
            tx.execute(
                "DELETE FROM answers WHERE token IN (SELECT id FROM tokens WHERE tenant = ?)",
                name,
            )?;
            tx.execute("DELETE FROM tokens WHERE tenant = ?", name)?;
            tx.execute("DELETE FROM confirmations WHERE tenant = ?", name)?;
            Ok(tx.execute("DELETE FROM tenants WHERE name = ?", name)? > 0)
        })
    }

    fn add_token(&self, token: &Token, secret: &[u8; 32]) -> Result<(), StoreError> {
        self.write("write a token", |tx| {
            let body = to_json("a token", token)?;
            let (tenant, created) = (token.tenant.as_str(), token.created.0);
            tx.execute(
                "INSERT INTO tokens VALUES(?, ?, ?, ?, ?)",
                params![token.id, tenant, created, secret, body],
            )?;
            Ok(())
        })
    }

    fn token(&self, id: &str) -> Result<Option<(Token, [u8; 32])>, StoreError> {
        self.read("read a token", |tx| {
            let sql = "SELECT body, secret FROM tokens WHERE id = ?";
            let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?));
            let found = tx.prepare_cached(sql)?.query_row([id], row).optional()?;
            found.map(|(body, secret)| Ok((from_json("a token", body)?, secret))).transpose()
        })
    }

    fn tokens(&self, tenant: &TenantName) -> Result<Vec<Token>, StoreError> {
        self.read("read the tokens", |tx| {
            let sql = "SELECT body FROM tokens WHERE tenant = ? ORDER BY created, id";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map([tenant.as_str()], |row| row.get::<_, String>(0))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            rows.into_iter().map(|body| from_json("a token", body)).collect()
        })
    }

    fn revoke(&self, tenant: &TenantName, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.write("revoke a token", |tx| {
            let sql = "SELECT body FROM tokens WHERE id = ? AND tenant = ?";
            let found = tx.query_row(sql, [id, tenant.as_str()], |row| row.get::<_, String>(0));
            let Some(body) = found.optional()? else { return Ok(false) };
            let mut token: Token = from_json("a token", body)?;
            if token.revoked.is_some() {
                return Ok(false);
            }
            token.revoked = Some(now);
            let body = to_json("a token", &token)?;
            tx.execute("UPDATE tokens SET body = ? WHERE id = ?", params![body, id])?;
            Ok(true)
        })
    }

    fn ask(&self, asked: &Confirmation) -> Result<(), StoreError> {
        self.write("note what is to be confirmed", |tx| {
            tx.execute("DELETE FROM confirmations WHERE expires < ?", [asked.created.0])?;
            let body = to_json("a confirmation", asked)?;
            tx.execute(
                "INSERT INTO confirmations VALUES(?, ?, ?, ?, ?, NULL, 0, ?)",
                params![
                    asked.id,
                    asked.tenant.as_str(),
                    asked.hash,
                    asked.created.0,
                    asked.expires.0,
                    body
                ],
            )?;
            Ok(())
        })
    }

    fn confirmations(
        &self,
        tenant: &TenantName,
        now: Timestamp,
    ) -> Result<Vec<Confirmation>, StoreError> {
        self.read("read what is to be confirmed", |tx| {
            let mut statement = tx.prepare(
                "SELECT body, approved, used FROM confirmations
                 WHERE tenant = ? AND expires > ? AND used = 0 ORDER BY created, id",
            )?;
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let rows = statement.query_map(params![tenant.as_str(), now.0], row)?;
            let rows: Vec<ConfirmationRow> = rows.collect::<Result<_, _>>()?;
            rows.into_iter().map(confirmation).collect()
        })
    }

    fn approve(
        &self,
        tenant: &TenantName,
        id: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write("approve", |tx| {
            let changed = tx.execute(
                "UPDATE confirmations SET approved = ?
                 WHERE id = ? AND tenant = ? AND expires > ? AND approved IS NULL AND used = 0",
                params![by, id, tenant.as_str(), now.0],
            )?;
            Ok(changed > 0)
        })
    }

    fn withdraw(&self, tenant: &TenantName, id: &str) -> Result<bool, StoreError> {
        self.write("take back what is to be confirmed", |tx| {
            let sql = "DELETE FROM confirmations WHERE id = ? AND tenant = ? AND approved IS NULL";
            Ok(tx.execute(sql, [id, tenant.as_str()])? > 0)
        })
    }

    fn use_up(
        &self,
        tenant: &TenantName,
        id: &str,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.write("use an approval", |tx| {
            let sql = "UPDATE confirmations SET used = 1
                 WHERE id = ? AND tenant = ? AND hash = ? AND expires > ? AND used = 0
                   AND approved IS NOT NULL
                 RETURNING approved";
            let given = params![id, tenant.as_str(), hash, now.0];
            Ok(tx.query_row(sql, given, |row| row.get(0)).optional()?)
        })
    }

    fn begin_answer(
        &self,
        (token, key): (&str, &str),
        request: &[u8; 32],
        (now, oldest): (Timestamp, Timestamp),
    ) -> Result<Option<Replay>, StoreError> {
        let is_time_to_forget =
            self.begun.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGETTING);
        self.write("begin an answer", |tx| {
            let sql = "SELECT request, status, body, headers FROM answers
                 WHERE token = ? AND key = ? AND created >= ?";
            let found = tx
                .query_row(sql, params![token, key, oldest.0], |row| {
                    let body: Option<Vec<u8>> = row.get(2)?;
                    let headers: Option<String> = row.get(3)?;
                    Ok((row.get(0)?, row.get(1)?, body.unwrap_or_default(), headers))
                })
                .optional()?;
            let Some((found, status, body, headers)) = found else {
                if is_time_to_forget {
                    forget_answers(tx, token, oldest)?;
                }
                tx.execute(
                    "INSERT OR REPLACE INTO answers(token, key, request, created)
                     VALUES(?, ?, ?, ?)",
                    params![token, key, request, now.0],
                )?;
                return Ok(None);
            };
            let headers = headers.map(|text| from_json("an answer's headers", text)).transpose()?;
            Ok(Some(Replay { request: found, status, headers: headers.unwrap_or_default(), body }))
        })
    }

    fn end_answers(&self, status: u16, body: &[u8]) -> Result<(), StoreError> {
        self.write("keep answers", |tx| {
            let sql = "UPDATE answers SET status = ?, body = ? WHERE status IS NULL";
            tx.execute(sql, params![status, body])?;
            Ok(())
        })
    }

    fn end_answer(
        &self,
        (token, key): (&str, &str),
        answer: Option<Answered<'_>>,
    ) -> Result<(), StoreError> {
        self.write("keep an answer", |tx| {
            match answer {
                Some(Answered { status, headers, body }) => tx.execute(
                    "UPDATE answers SET status = ?, headers = ?, body = ?
                     WHERE token = ? AND key = ?",
                    params![status, to_json("headers", &headers)?, body, token, key],
                )?,
                None => {
                    tx.execute("DELETE FROM answers WHERE token = ? AND key = ?", [token, key])?
                }
            };
            Ok(())
        })
    }
}
