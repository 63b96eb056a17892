//! Who may use the service, and how much of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::SandboxName;
use crate::store::StoreError;
use crate::time::Timestamp;

/// The name of a tenant: what can name a sandbox can name one. A tenant has a store of its own, so
/// nothing of another tenant can even be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantName(SandboxName);

/// The tenant to whom the service's own store belongs. Its administrators manage the others.
const OWNER: &str = "default";

impl TenantName {
    /// The tenant to whom the service's own store belongs.
    #[must_use]
    pub fn owner() -> Self {
        // A constant that is a name.
        Self(OWNER.parse().unwrap_or_else(|_| SandboxName::of_no_sandbox()))
    }

    /// Whether this is [`Self::owner`].
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.as_str() == OWNER
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a tenant's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a tenant: use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit"
)]
pub struct TenantNameError(String);

impl FromStr for TenantName {
    type Err = TenantNameError;
    fn from_str(text: &str) -> Result<Self, TenantNameError> {
        text.parse().map(Self).map_err(|_| TenantNameError(text.to_owned()))
    }
}

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, runs, changes and takes back.
    Operator,
    /// Looks, and approves what others asked for.
    Approver,
    /// All of that, and the tokens of the tenant.
    Admin,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To see what is there.
    Look,
    /// To run, change, and take back.
    Act,
    /// To approve what somebody asked for.
    Approve,
    /// To manage the tenant's tokens.
    Manage,
    /// To manage tenants: [`Right::Manage`] in [`TenantName::owner`].
    Own,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Whether the role has the right, in a tenant that is the service's owner or not.
    #[must_use]
    pub fn may(self, right: Right, of_owner: bool) -> bool {
        match right {
            Right::Look => true,
            Right::Act => matches!(self, Self::Operator | Self::Admin),
            Right::Approve => matches!(self, Self::Approver | Self::Admin),
            Right::Manage => self == Self::Admin,
            Right::Own => self == Self::Admin && of_owner,
        }
    }
}

/// Why a text is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: use viewer, operator, approver or admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        let found = Self::ALL.into_iter().find(|role| role.word() == text);
        found.ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// How much a tenant may use; `None` for as much as there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Sandboxes.
    pub sandboxes: Option<u32>,
    /// Operations that run at the same time.
    pub running: Option<u32>,
    /// Operations begun within a minute.
    pub per_minute: Option<u32>,
    /// The most memory that one operation may be given, in bytes.
    pub memory: Option<u64>,
    /// Bytes of the disk that all of its data may take.
    pub disk: Option<u64>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// When it was made.
    pub created: Timestamp,
    /// How much it may use.
    pub quotas: Quotas,
}

/// A token, without its secret, which nobody has but whoever was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The part that names it.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantName,
    /// What its holder may do.
    pub role: Role,
    /// What it is for, in the words of whoever made it.
    pub note: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is not taken any more.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// What a command is going to read, as it is told to whoever approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadInput {
    /// Its beginning, without secrets; what is not UTF-8 is replaced.
    pub text: String,
    /// The size of all of it, in bytes.
    pub bytes: u64,
    /// Whether there is more than the text shows.
    pub truncated: bool,
}

impl ReadInput {
    /// How many characters are shown.
    pub const SHOWN: usize = 4096;

    /// The beginning of `input`, which `conceal` rids of secrets.
    #[must_use]
    pub fn of(input: &[u8], conceal: impl Fn(&str) -> String) -> Self {
        // Farther than it is shown, so that no secret is cut in the middle and not known as one.
        let looked_at = input.get(..8 * Self::SHOWN).unwrap_or(input);
        let whole = conceal(&String::from_utf8_lossy(looked_at));
        let text: String = whole.chars().take(Self::SHOWN).collect();
        let truncated = text.len() < whole.len() || looked_at.len() < input.len();
        Self { text, bytes: input.len() as u64, truncated }
    }
}

/// Something that waits for an approval, or got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its id, which cannot be guessed.
    pub id: String,
    /// In which tenant.
    pub tenant: TenantName,
    /// The sandbox's name.
    pub sandbox: String,
    /// What is asked for, in one line without secrets.
    pub title: String,
    /// What the validator said of it, in words.
    pub reasons: Vec<String>,
    /// What it reads, when something was sent along.
    #[serde(default)]
    pub stdin: Option<ReadInput>,
    /// The hash that the approval is bound to, and with it all of what it reads.
    pub hash: String,
    /// The id of the token that asked.
    pub asked_by: String,
    /// When it was asked.
    pub created: Timestamp,
    /// Until when it can be approved and used.
    pub expires: Timestamp,
    /// The id of the token that approved it.
    pub approved_by: Option<String>,
    /// Whether it was used; it is used once.
    pub used: bool,
}

/// An answer that is given again when the same is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// A digest of what was asked.
    pub request: [u8; 32],
    /// The status; `None` while the answer is not there yet.
    pub status: Option<u16>,
    /// Those of the answer's headers that say where something is and which version it has.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: Vec<u8>,
}

/// An answer to be kept for whoever asks the same again.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The status.
    pub status: u16,
    /// See [`Replay::headers`].
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// What the service remembers of those who use it. Several threads ask at once.
pub trait Registry: Send + Sync {
    /// All tenants, by name. [`TenantName::owner`] is always there.
    ///
    /// # Errors
    /// When it cannot be read, as for all that follow.
    fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// One of them.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError>;

    /// Makes a tenant, or gives one other quotas.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError>;

    /// Removes a tenant and its tokens; false when there was none.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn remove_tenant(&self, name: &TenantName) -> Result<bool, StoreError>;

    /// Adds a token, of whose secret the SHA-256 is kept.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn add_token(&self, token: &Token, secret: &[u8; 32]) -> Result<(), StoreError>;

    /// A token and the digest of its secret.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn token(&self, id: &str) -> Result<Option<(Token, [u8; 32])>, StoreError>;

    /// A tenant's tokens, the oldest first.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn tokens(&self, tenant: &TenantName) -> Result<Vec<Token>, StoreError>;

    /// Revokes a tenant's token; false when it has none with that id that is not revoked.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn revoke(&self, tenant: &TenantName, id: &str, now: Timestamp) -> Result<bool, StoreError>;

    /// Notes what waits for an approval, and forgets what expired before `confirmation` was asked.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn ask(&self, confirmation: &Confirmation) -> Result<(), StoreError>;

    /// What waits for an approval, or got it and was not used, the oldest first.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn confirmations(
        &self,
        tenant: &TenantName,
        now: Timestamp,
    ) -> Result<Vec<Confirmation>, StoreError>;

    /// Approves one that waits and has not expired; false when there is none.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn approve(
        &self,
        tenant: &TenantName,
        id: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes back one that was not approved; false when there is none.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn withdraw(&self, tenant: &TenantName, id: &str) -> Result<bool, StoreError>;

    /// Uses up one that was approved, has not expired, and is bound to `hash`; answers who approved
    /// it. Of several that ask at once, one gets it.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn use_up(
        &self,
        tenant: &TenantName,
        id: &str,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError>;

    /// Begins an answer under a key of a token, unless there is one: then it answers that. `times`
    /// are now and the oldest time of which answers are not forgotten.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn begin_answer(
        &self,
        of: (&str, &str),
        request: &[u8; 32],
        times: (Timestamp, Timestamp),
    ) -> Result<Option<Replay>, StoreError>;

    /// Gives an answer to all requests that are without one. For a service that begins: the one before
    /// was killed while it carried them out.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn end_answers(&self, status: u16, body: &[u8]) -> Result<(), StoreError>;

    /// Keeps the answer that was begun; without one, forgets that it was begun.
    ///
    /// # Errors
    /// See [`Self::tenants`].
    fn end_answer(&self, key: (&str, &str), answer: Option<Answered<'_>>)
    -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_it_is_for() {
        let may = |role: Role, of_owner| -> Vec<Right> {
            [Right::Look, Right::Act, Right::Approve, Right::Manage, Right::Own]
                .into_iter()
                .filter(|right| role.may(*right, of_owner))
                .collect()
        };
        for of_owner in [false, true] {
            assert_eq!(may(Role::Viewer, of_owner), [Right::Look]);
            assert_eq!(may(Role::Operator, of_owner), [Right::Look, Right::Act]);
            assert_eq!(may(Role::Approver, of_owner), [Right::Look, Right::Approve]);
        }
        let all = [Right::Look, Right::Act, Right::Approve, Right::Manage, Right::Own];
        assert_eq!(may(Role::Admin, false), all[..4]);
        assert_eq!(may(Role::Admin, true), all);
    }

    #[test]
    fn of_what_is_read_the_beginning_is_shown_and_that_there_is_more() {
        let same = |text: &str| text.to_owned();
        let whole = ReadInput::of("é\n".as_bytes(), same);
        assert_eq!((whole.text.as_str(), whole.bytes, whole.truncated), ("é\n", 3, false));
        let bytes = vec![0xff; ReadInput::SHOWN];
        assert!(!ReadInput::of(&bytes, same).truncated);
        for more in [1, 7 * ReadInput::SHOWN, 1 << 20] {
            let long = ReadInput::of(&vec![b'x'; ReadInput::SHOWN + more], same);
            assert_eq!((long.text.len(), long.truncated), (ReadInput::SHOWN, true), "{more}");
            assert_eq!(long.bytes, (ReadInput::SHOWN + more) as u64);
        }
        // A secret over the edge is one.
        let text = format!("{}secret", "x".repeat(ReadInput::SHOWN - 3));
        let shown = ReadInput::of(text.as_bytes(), |text| text.replace("secret", "-"));
        assert!(shown.text.ends_with("x-"), "{}", shown.text.len());
    }

    #[test]
    fn the_owner_has_a_name_like_any_other() {
        assert_eq!(TenantName::owner().as_str(), "default");
        assert!("default".parse::<TenantName>().expect("a name").is_owner());
        assert!("../x".parse::<TenantName>().is_err());
        assert_eq!("admin".parse(), Ok(Role::Admin));
        assert!("root".parse::<Role>().is_err());
    }
}
