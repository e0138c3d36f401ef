//! Access tokens: signed names of sessions (JWT, RFC 7519, HS256), good for 30 minutes. What a session may do is never
//! in its token; it is looked up.

use crate::keyfile::Keys;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, get_current_timestamp,
};
use kv_authz::{SessionId, UserId};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fmt, sync::Arc};
use time::{Duration, OffsetDateTime};

const ISSUER: &str = "kubevision";
const AUDIENCE: &str = "kubevision-api";
/// The kind of token; another kind signed with the same key is no access token (RFC 8725 §3.11).
const TYPE: &str = "access";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    jti: String,
    typ: String,
    iat: u64,
    exp: u64,
}

/// A token and when it ends.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub token: SecretString,
    /// Until then.
    pub expires_at: OffsetDateTime,
}

/// Signs and reads access tokens: the newest key signs, and older ones still read, so that nobody is signed out when a key
/// takes another's place.
pub struct Tokens {
    ring: RwLock<Arc<Ring>>,
    validation: Validation,
}

struct Ring {
    kid: String,
    signing: EncodingKey,
    reading: HashMap<String, DecodingKey>,
    /// What tokens that these keys had signed said, by their hash: verifying one again took a quarter of a session's request.
    /// Whether the session is alive is asked at every request all the same.
    known: Cache<[u8; 32], Known>,
}

/// What a token said.
#[derive(Debug, Clone, Copy)]
struct Known {
    session: SessionId,
    /// Its `exp`.
    until: u64,
}

/// Tokens that are remembered, of about a hundred bytes each.
const KNOWN: usize = 16_384;

impl Ring {
    fn new(keys: &Keys) -> Self {
        let reading = keys.all().map(|key| (kid(key), DecodingKey::from_secret(key))).collect();
        Self {
            kid: kid(keys.newest()),
            signing: EncodingKey::from_secret(keys.newest()),
            reading,
            known: Cache::new(KNOWN),
        }
    }
}

/// Names a key without telling of it.
fn kid(key: &[u8; 32]) -> String {
    Sha256::digest(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// How long a token is good for.
    pub const LIFETIME: Duration = Duration::minutes(30);

    /// With these keys.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        Self { ring: RwLock::new(Arc::new(Ring::new(keys))), validation }
    }

    /// Goes on with other keys.
    pub fn replace(&self, keys: &Keys) {
        *self.ring.write() = Arc::new(Ring::new(keys));
    }

    /// A token for a session.
    ///
    /// # Errors
    /// When signing fails, which a fixed key and algorithm give no reason for.
    pub fn sign(
        &self,
        user: UserId,
        session: SessionId,
        jti: uuid::Uuid,
        now: OffsetDateTime,
    ) -> Result<AccessToken, jsonwebtoken::errors::Error> {
        let expires_at = now + Self::LIFETIME;
        let seconds = |time: OffsetDateTime| u64::try_from(time.unix_timestamp()).unwrap_or(0);
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user,
            sid: session,
            jti: jti.to_string(),
            typ: TYPE.into(),
            iat: seconds(now),
            exp: seconds(expires_at),
        };
        let ring = self.ring.read().clone();
        let header = Header { kid: Some(ring.kid.clone()), ..Header::new(Algorithm::HS256) };
        Ok(AccessToken { token: encode(&header, &claims, &ring.signing)?.into(), expires_at })
    }

    /// The session a token names, if it is ours, whole and of the right kind.
    #[must_use]
    pub fn session(&self, token: &str) -> Option<SessionId> {
        let ring = self.ring.read().clone();
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = ring.known.get(&hash) {
            // By the clock and the rule that it was verified by.
            return (known.until >= get_current_timestamp()).then_some(known.session);
        }
        let header = decode_header(token).ok()?;
        let data = decode::<Claims>(token, ring.reading.get(header.kid.as_deref()?)?, &self.validation).ok()?;
        let Claims { typ, sid: session, exp: until, .. } = data.claims;
        if typ != TYPE {
            return None;
        }
        ring.known.insert(hash, Known { session, until });
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use serde_json::json;

    fn signed(claims: &serde_json::Value, kid: Option<&str>) -> String {
        let header = Header { kid: kid.map(Into::into), ..Header::new(Algorithm::HS256) };
        encode(&header, claims, &EncodingKey::from_secret(&[1; 32])).unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "jsonwebtoken compares with the system's time")]
    fn a_token_names_its_session() {
        let tokens = Tokens::new(&Keys::of(&[[1; 32]]));
        let (user, session) = (UserId::from_parts(1, [1; 10]), SessionId::from_parts(1, [2; 10]));
        let now = OffsetDateTime::now_utc();
        let token = tokens.sign(user, session, uuid::Uuid::nil(), now).unwrap();
        assert_eq!(tokens.session(token.token.expose_secret()), Some(session));
        assert_eq!(Tokens::new(&Keys::of(&[[2; 32]])).session(token.token.expose_secret()), None);
        // Another key signs from now on, and the token of the older one is still read.
        tokens.replace(&Keys::of(&[[2; 32], [1; 32]]));
        assert_eq!(tokens.session(token.token.expose_secret()), Some(session));
        let newer = tokens.sign(user, session, uuid::Uuid::nil(), now).unwrap();
        assert_eq!(Tokens::new(&Keys::of(&[[2; 32]])).session(newer.token.expose_secret()), Some(session));
        tokens.replace(&Keys::of(&[[2; 32]]));
        assert_eq!(tokens.session(token.token.expose_secret()), None);
        let old = tokens.sign(user, session, uuid::Uuid::nil(), now - Duration::minutes(31)).unwrap();
        assert_eq!(tokens.session(old.token.expose_secret()), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "jsonwebtoken compares with the system's time")]
    fn a_token_that_was_read_before_ends_all_the_same() {
        let tokens = Tokens::new(&Keys::of(&[[1; 32]]));
        let (user, session) = (UserId::from_parts(1, [1; 10]), SessionId::from_parts(1, [2; 10]));
        let token = tokens.sign(user, session, uuid::Uuid::nil(), OffsetDateTime::now_utc()).unwrap();
        let token = token.token.expose_secret();
        let hash: [u8; 32] = Sha256::digest(token).into();
        assert_eq!((tokens.session(token), tokens.session(token)), (Some(session), Some(session)));
        assert!(tokens.session(&token[..token.len() - 1]).is_none());
        // As if its half hour were over.
        let ring = tokens.ring.read().clone();
        let known = ring.known.get(&hash).unwrap();
        ring.known.insert(hash, Known { until: get_current_timestamp() - 1, ..known });
        assert_eq!(tokens.session(token), None);
        ring.known.insert(hash, known);
        // And as the key that signed it is taken away.
        tokens.replace(&Keys::of(&[[2; 32]]));
        assert_eq!(tokens.session(token), None);
    }

    #[test]
    fn attacks_169_170_176_other_tokens_are_none() {
        let tokens = Tokens::new(&Keys::of(&[[1; 32]]));
        let good = || {
            json!({
                "iss": ISSUER, "aud": AUDIENCE, "typ": TYPE, "jti": "x", "iat": 1, "exp": 4_102_444_800_u64,
                "sub": UserId::from_parts(1, [1; 10]), "sid": SessionId::from_parts(1, [2; 10]),
            })
        };
        let kid = kid(&[1; 32]);
        let kid = Some(kid.as_str());
        assert!(tokens.session(&signed(&good(), kid)).is_some());
        assert!(tokens.session(&signed(&good(), None)).is_none());
        assert!(tokens.session(&signed(&good(), Some("../../etc/passwd"))).is_none());
        for claim in ["iss", "aud", "typ", "jti", "iat", "exp", "sub", "sid"] {
            let mut missing = good();
            missing.as_object_mut().unwrap().remove(claim);
            assert!(tokens.session(&signed(&missing, kid)).is_none(), "without {claim}");
            for value in [json!("1"), json!(-1), json!(1.5), json!(null), json!([]), json!("refresh")] {
                let mut wrong = good();
                wrong[claim] = value.clone();
                if claim == "jti" && value.is_string() {
                    continue;
                }
                assert!(tokens.session(&signed(&wrong, kid)).is_none(), "{claim} = {value}");
            }
        }
        let mut extra = good();
        extra["role"] = json!("admin");
        assert!(tokens.session(&signed(&extra, kid)).is_none());
        let token = signed(&good(), kid);
        for n in 0..token.len() - 1 {
            assert!(tokens.session(&token[..n]).is_none());
        }
        for text in ["", ".", "..", "a.b.c", &format!("{token}="), &format!("{token}.x.y")] {
            assert!(tokens.session(text).is_none());
        }
    }
}
