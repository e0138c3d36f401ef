//! An authenticator app, played by the test.

use crate::{Session, TestApp};
use kv_server::auth::totp;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// An authenticator app that has taken up a user's second factor.
#[derive(Debug, Clone)]
pub struct Factor {
    /// The secret.
    pub secret: Vec<u8>,
    /// The recovery codes.
    pub recovery_codes: Vec<String>,
    used: Arc<AtomicI64>,
}

impl Factor {
    /// The code of now, or of another time.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn code(&self, at: time::OffsetDateTime) -> String {
        totp::code(&self.secret, at).unwrap()
    }

    /// A code that was not shown before; waits for its step if need be.
    pub async fn next_code(&self, app: &TestApp) -> String {
        loop {
            let now = app.now();
            // The step before this one counts as well, for as long as this one lasts: not when it is about to end.
            let earlier = (now.unix_timestamp().rem_euclid(30) < 28).then(|| now - time::Duration::seconds(30));
            for at in earlier.into_iter().chain([now]) {
                let step = at.unix_timestamp() / 30;
                if self.used.fetch_max(step, Ordering::Relaxed) < step {
                    return self.code(at);
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

impl TestApp {
    /// Gives a user a second factor, and signs in with it.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn enrol(&self, name: &str) -> (Session, Factor) {
        let session = self.login(name).await;
        let set_up = self.post("/api/v1/auth/totp/setup").session(&session).send().await.expect(200).json();
        let secret = totp::typed(set_up["secret"].as_str().unwrap()).unwrap();
        let factor = Factor { secret, recovery_codes: Vec::new(), used: Arc::new(AtomicI64::new(0)) };
        let code = factor.next_code(self).await;
        let enable = self.post("/api/v1/auth/totp/enable").session(&session).json(&json!({"totp_code": code}));
        let made = enable.send().await.expect(200).json();
        let codes = made["recovery_codes"].as_array().unwrap();
        let recovery_codes = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        (session, Factor { recovery_codes, ..factor })
    }
}
