//! A browser without a screen and without scripts: it keeps cookies, and sends the forms of the pages it has seen.

use crate::{Answer, PASSWORD, TestApp};
use std::{collections::BTreeMap, fmt::Write as _};

/// Somebody at a browser.
#[derive(Debug)]
pub struct Visitor<'a> {
    app: &'a TestApp,
    cookies: BTreeMap<String, String>,
    /// From the last page that had a form.
    token: String,
    agent: String,
}

impl TestApp {
    /// Somebody at a browser that has seen nothing yet.
    #[must_use]
    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { app: self, cookies: BTreeMap::new(), token: String::new(), agent: "test/1".into() }
    }

    /// Somebody who has signed in with their password.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn browser(&self, name: &str) -> Visitor<'_> {
        let mut visitor = self.visitor();
        visitor.sign_in(name, PASSWORD).await.expect(303);
        visitor
    }
}

impl Visitor<'_> {
    /// With another browser.
    #[must_use]
    pub fn named(self, agent: &str) -> Self {
        Self { agent: agent.into(), ..self }
    }

    /// Signs in, as far as a password goes.
    ///
    /// # Panics
    /// Where there is no page for it.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.get("/sign-in").await.expect(200);
        self.submit("/sign-in", &[("username", name), ("password", password)]).await
    }

    /// Opens a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = self.dressed(self.app.get(path)).send().await;
        self.look_at(&answer);
        answer
    }

    /// Sends a form of the last page to a path.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        // Forms go with the cookie they were written for: after signing in there has been none yet.
        if self.token.is_empty() {
            self.get(path).await;
        }
        let (token, origin) = (self.token.clone(), format!("http://{}", self.app.address()));
        self.submit_as(path, fields, &token, &origin).await
    }

    /// The same with another token, and from another origin.
    pub async fn submit_as(&mut self, path: &str, fields: &[(&str, &str)], token: &str, origin: &str) -> Answer {
        let body = [("csrf", token)].iter().chain(fields).fold(String::new(), |mut body, (name, value)| {
            let _ = write!(body, "{}{}={}", if body.is_empty() { "" } else { "&" }, encoded(name), encoded(value));
            body
        });
        let request = self.dressed(self.app.post(path)).header("origin", origin);
        let answer = request.body("application/x-www-form-urlencoded", body).send().await;
        self.look_at(&answer);
        answer
    }

    /// Follows a redirect.
    ///
    /// # Panics
    /// Where the answer is none.
    pub async fn follow(&mut self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.text());
        let there = answer.header("location").to_owned();
        self.get(&there).await
    }

    /// A cookie's value.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Whether it has a cookie.
    #[must_use]
    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookies.contains_key(name)
    }

    fn dressed(&self, request: crate::Request) -> crate::Request {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.header("cookie", cookies.join("; ")).header("user-agent", self.agent.as_str())
    }

    fn look_at(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap_or_default();
            let Some((name, rest)) = cookie.split_once('=') else { continue };
            let value = rest.split(';').next().unwrap_or_default();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
                if name == "__Host-kv_session" {
                    self.token.clear();
                }
            }
        }
        if let Some(token) = between(&answer.text(), "name=\"csrf\" value=\"", "\"").first() {
            self.token.clone_from(token);
        }
    }
}

/// Every piece of a page between two others.
#[must_use]
pub fn between(page: &str, before: &str, after: &str) -> Vec<String> {
    let pieces = page.split(before).skip(1);
    pieces.filter_map(|rest| rest.split(after).next()).map(str::to_owned).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
