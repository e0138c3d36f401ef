//! A visitor: a browser as far as forms and cookies go, played by the test.
//!
//! It runs no script and follows no redirect by itself: where it is led is for the test to see.

use crate::{Answer, Factor, PASSWORD, TestApp};
use std::collections::BTreeMap;

/// A browser at the pages of a server.
#[derive(Debug)]
pub struct Visitor<'a> {
    app: &'a TestApp,
    cookies: BTreeMap<String, String>,
    /// What stood in the forms of the last page.
    token: Option<String>,
}

impl<'a> Visitor<'a> {
    /// One who has not signed in.
    #[must_use]
    pub fn new(app: &'a TestApp) -> Self {
        Self { app, cookies: BTreeMap::new(), token: None }
    }

    /// One who has signed in, without a second factor.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn signed_in(app: &'a TestApp, name: &str) -> Self {
        let mut visitor = Self::new(app);
        visitor.submit("/sign-in", &[("username", name), ("password", PASSWORD)]).await.expect(303);
        visitor
    }

    /// One who has signed in with both factors.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn signed_in_with(app: &'a TestApp, name: &str, factor: &Factor) -> Self {
        let mut visitor = Self::new(app);
        let asked = visitor.submit("/sign-in", &[("username", name), ("password", PASSWORD)]).await.expect(200);
        let challenge = field(&asked.text(), "challenge").expect("a challenge in the page");
        let code = factor.next_code(app).await;
        visitor.submit("/sign-in/code", &[("challenge", &challenge), ("code", &code)]).await.expect(303);
        visitor
    }

    /// Asks for a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = self.app.get(path).header("cookie", self.cookie()).send().await;
        self.keep(&answer);
        answer
    }

    /// Sends a form to where it stands, with what the last page had in its forms; asks for that page first where there was
    /// none.
    ///
    /// # Panics
    /// Where the page has no form.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        if self.token.is_none() {
            self.get(path).await;
        }
        let token = self.token.clone().expect("a page with a form");
        self.submit_as(path, fields, &token, &format!("http://{}", self.app.address())).await
    }

    /// The same with another token and from another origin.
    pub async fn submit_as(&mut self, path: &str, fields: &[(&str, &str)], token: &str, origin: &str) -> Answer {
        let mut body = format!("csrf={}", encoded(token));
        for (name, value) in fields {
            body.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        let request = self.app.post(path).header("cookie", self.cookie()).header("origin", origin);
        let answer = request.body("application/x-www-form-urlencoded", body).send().await;
        self.keep(&answer);
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
    pub fn cookie_named(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    fn cookie(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&mut self, answer: &Answer) {
        for set in answer.headers.get_all("set-cookie") {
            let (pair, attributes) = set.to_str().unwrap().split_once(';').unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap();
            match attributes.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
            // Forms go with the cookie they were written for.
            if name != "__Host-kv_done" {
                self.token = None;
            }
        }
        if let Some(token) = field(&answer.text(), "csrf") {
            self.token = Some(token);
        }
    }
}

/// The value of a hidden field of a page.
#[must_use]
pub fn field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!(r#"name="{name}" value=""#))?;
    rest.split('"').next().map(str::to_owned)
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
