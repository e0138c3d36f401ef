//! A test's own world: a fresh database, the store on it, and short words for the people and keys in it.

use kv_authz::{
    EntryId, KeyId, Permit, Policy, Principal, Role, SessionId, UserId,
    action::{self, OwnAction},
    audit::{Entry, Event, Origin, Target},
    authorize,
    principal::Actor,
};
use kv_keys::{KeyDigest, KeyPrefix};
use kv_store::{
    ActError, Basis, Credential, KeyRefused, NewKey, NewSession, NewUser, Occasion, Store, UserAsRead, UserChange,
    UserChanged, UserRefused,
    admission::{Decision, Request, Verdict},
    testing::{Backend, TestDatabase},
};
use std::sync::atomic::{AtomicU64, Ordering};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub(crate) struct World {
    // Before the database, so that its connections are closed when that goes.
    pub(crate) store: Store,
    pub(crate) database: TestDatabase,
}

/// A stored key, with what it is looked up by.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) owner: UserId,
    pub(crate) digest: KeyDigest,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An id later than all before it.
pub(crate) fn id<T: From<Uuid>>() -> T {
    KeyId::from_parts(1_800_000_000_000 + number(), [7; 10]).uuid().into()
}

/// A digest that no other key has.
pub(crate) fn digest() -> KeyDigest {
    let mut bytes = [1; KeyDigest::STORED_LEN];
    bytes[1..9].copy_from_slice(&number().to_be_bytes());
    KeyDigest::from_bytes(&bytes).unwrap()
}

pub(crate) fn prefix() -> KeyPrefix {
    "kv_live_Ab3x".parse().unwrap()
}

/// Now, as precisely as the databases keep it.
#[expect(
    clippy::disallowed_methods,
    reason = "the databases have a clock of their own, and PostgreSQL's cannot be set"
)]
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap()
}

pub(crate) fn origin() -> Origin {
    Origin::new(Some("192.0.2.7".parse().unwrap()), "curl/8", "req-1".into())
}

pub(crate) fn occasion() -> Occasion {
    occasion_at(now())
}

pub(crate) fn occasion_at(now: OffsetDateTime) -> Occasion {
    Occasion { id: id(), origin: origin(), now }
}

/// The operator's permit, whom no rule binds.
pub(crate) fn permit<A: OwnAction>() -> Permit<A> {
    authorize(&Principal::Operator, Target::of("test"), &Policy::default(), now()).unwrap()
}

pub(crate) fn entry(event: Event) -> Entry {
    Entry {
        id: id(),
        actor: Actor { user_id: None, user: "ann".into(), agent: "web".into(), key_id: None },
        event,
        target: Target::of("pods"),
        origin: origin(),
        detail: Default::default(),
    }
}

/// An audited request that is only begun.
pub(crate) fn request(basis: Option<Basis>) -> Request {
    Request { entry: entry(Event::KubernetesGet), basis, finish: None, count: 1, audited: true }
}

impl World {
    pub(crate) fn new(backend: Backend) -> Self {
        let database = TestDatabase::fresh(backend);
        Self { store: database.open(), database }
    }

    pub(crate) fn user(&self, name: &str) -> UserId {
        let user =
            NewUser { id: id(), name: name.into(), role: (&Role::Dev).into(), password_hash: Some("$phc".into()) };
        self.store.create_user(&permit::<action::CreateUser>(), None, &user, &occasion()).unwrap();
        user.id
    }

    pub(crate) fn key(&self, owner: UserId, name: &str) -> Key {
        self.key_until(owner, name, None)
    }

    pub(crate) fn key_until(&self, owner: UserId, name: &str, expires_at: Option<OffsetDateTime>) -> Key {
        let key = NewKey { expires_at, ..new_key(owner, name) };
        self.create(&key, 10_000).unwrap();
        Key { id: key.id, owner, digest: key.digest }
    }

    pub(crate) fn create(&self, key: &NewKey, limit: u32) -> Result<(), ActError<KeyRefused>> {
        self.store.create_key(&permit::<action::CreateApiKey>(), None, key, limit, &occasion())
    }

    pub(crate) fn revoke(&self, key: Key) {
        let permit = permit::<action::RevokeApiKey>();
        self.store.revoke_key(&permit, None, key.owner, key.id, None, &occasion()).unwrap();
    }

    pub(crate) fn disable(&self, user: UserId) {
        self.change(user, &UserChange { disabled: Some(true), ..UserChange::default() }).unwrap();
    }

    /// A user as they are now.
    pub(crate) fn read(&self, user: UserId) -> UserAsRead {
        self.store.find_user_by_id(user).unwrap().unwrap().read
    }

    /// A user as they were before they were deleted.
    pub(crate) fn gone(&self) -> UserAsRead {
        let user = self.user("gone");
        let read = self.read(user);
        self.set("users", user, "deleted_at = 1");
        read
    }

    /// Changes a user as they are now.
    pub(crate) fn change(&self, user: UserId, change: &UserChange) -> Result<UserChanged, ActError<UserRefused>> {
        self.store.change_user(&permit::<action::ChangeUser>(), None, &self.read(user), change, &occasion())
    }

    pub(crate) fn session(&self, name: &str) -> (SessionId, Basis) {
        let user = self.store.sign_in(name).unwrap().unwrap();
        let session = NewSession {
            id: id(),
            user: user.id,
            user_version: user.version,
            expires_at: now() + Duration::HOUR,
            factor_shown_at: None,
            token: number().to_be_bytes().to_vec(),
        };
        self.store.begin_session(&session, &entry(Event::AuthLogin), now()).unwrap();
        let basis = Basis {
            credential: Credential::Session(session.id),
            user: user.id,
            user_version: user.version,
            role_version: None,
            clusters_version: None,
            timeline: self.store.timeline(),
        };
        (session.id, basis)
    }

    /// The basis of a request with the key, read now.
    pub(crate) fn basis(&self, key: Key) -> Basis {
        let authority = self.store.key_authority(&key.digest).unwrap().unwrap();
        Basis {
            credential: Credential::Key(key.id),
            user: authority.owner.id,
            user_version: authority.user_version,
            role_version: authority.role_version,
            clusters_version: None,
            timeline: authority.timeline,
        }
    }

    pub(crate) fn admit(&self, batch: &[Request]) -> Vec<Decision> {
        self.store.admit(batch, now()).unwrap()
    }

    pub(crate) fn verdict(&self, basis: Basis) -> Verdict {
        self.admit(&[request(Some(basis))])[0].verdict
    }

    /// How many rows the entry has in the audit log.
    pub(crate) fn entries(&self, entry: EntryId) -> i64 {
        self.database.count("audit_entries", &format!("id = {}", self.database.literal(entry)))
    }

    /// Changes one row behind the store's back.
    pub(crate) fn set(&self, table: &str, id: impl Into<Uuid>, assignment: &str) {
        let id = self.database.literal(id);
        self.database.execute(&format!("UPDATE {table} SET {assignment} WHERE id = {id}"));
    }
}

pub(crate) fn new_key(owner: UserId, name: &str) -> NewKey {
    NewKey { id: id(), owner, name: name.into(), prefix: prefix(), digest: digest(), expires_at: None }
}

pub(crate) fn micros(time: OffsetDateTime) -> i128 {
    time.unix_timestamp_nanos() / 1_000
}

/// The act's own refusal.
pub(crate) fn refusal<T: std::fmt::Debug, E: std::fmt::Debug>(done: Result<T, ActError<E>>) -> E {
    match done {
        Err(ActError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}
