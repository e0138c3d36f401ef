//! What the browser was answered, as it logs it: every document, script, style and picture, with status, head and size; and
//! what it wrote to its console meanwhile. Never here: what that means.

use super::Browser;
use serde_json::{Value, json};
use std::collections::HashSet;

/// One answer.
#[derive(Debug, Clone)]
pub struct Loaded {
    request: String,
    /// What was asked for.
    pub url: String,
    /// What for: `Document`, `Stylesheet`, `Script`, `Fetch`, …
    pub kind: String,
    /// Its status; a redirect is an answer of its own.
    pub status: u64,
    head: Vec<(String, String)>,
    /// How many bytes came over the wire, head and all; 0 for one from the browser's own cache.
    pub bytes: u64,
}

impl Loaded {
    /// A field of its head; several are joined by lines.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// All that was logged so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    answers: Vec<Loaded>,
    console: Vec<Value>,
}

impl Seen {
    fn take(&mut self, event: &Value) {
        let (name, told) = (event["method"].as_str().unwrap_or_default(), &event["params"]);
        let request = told["requestId"].as_str().unwrap_or_default().to_owned();
        match name {
            "Network.responseReceived" => self.add(request, &told["type"], &told["response"]),
            "Network.requestWillBeSent" if told["redirectResponse"].is_object() => {
                self.add(request, &told["type"], &told["redirectResponse"]);
            }
            "Network.loadingFinished" => {
                let bytes = told["encodedDataLength"].as_f64().unwrap_or_default();
                if let Some(answer) = self.answers.iter_mut().rev().find(|answer| answer.request == request) {
                    answer.bytes = bytes as u64;
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, request: String, kind: &Value, response: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&response["url"]);
        if url.starts_with("http") {
            let head = response["headers"].as_object().into_iter().flatten();
            let head = head.map(|(name, value)| (name.clone(), text(value))).collect();
            let status = response["status"].as_u64().unwrap_or_default();
            self.answers.push(Loaded { request, url, kind: text(kind), status, head, bytes: 0 });
        }
    }
}

impl Browser {
    /// Everything it was answered so far.
    ///
    /// # Panics
    /// Where the log cannot be read.
    pub async fn answers(&self) -> Vec<Loaded> {
        self.read_logs().await;
        self.seen.lock().unwrap().answers.clone()
    }

    /// The last document it was answered, the last of a path if one is given.
    ///
    /// # Panics
    /// Where there was none.
    pub async fn document(&self, path: Option<&str>) -> Loaded {
        let answers = self.answers().await;
        let mut documents = answers.into_iter().rev().filter(|answer| answer.kind == "Document");
        let wanted = |answer: &Loaded| path.is_none_or(|path| answer.url == format!("{}{path}", self.base));
        documents.find(wanted).unwrap_or_else(|| panic!("no document of {path:?} was loaded"))
    }

    /// What went wrong by the browser's own account since this was asked last: errors of scripts, what the page's policy
    /// forbids, what could not be loaded. A document with a status above 400 is an answer, not an error.
    ///
    /// # Panics
    /// Where the log cannot be read.
    pub async fn console_errors(&self) -> Vec<String> {
        self.read_logs().await;
        let mut seen = self.seen.lock().unwrap();
        let console = std::mem::take(&mut seen.console);
        let refused = seen.answers.iter().filter(|answer| answer.kind == "Document" && answer.status >= 400);
        let refused: HashSet<&str> = refused.map(|answer| answer.url.as_str()).collect();
        let is_error = |entry: &&Value| {
            let message = entry["message"].as_str().unwrap_or_default();
            let of_document = entry["source"] == "network"
                && message.contains("the server responded with a status of")
                && message.split(' ').next().is_some_and(|url| refused.contains(url));
            entry["level"] == "SEVERE" && !of_document
        };
        console.iter().filter(is_error).map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn read_logs(&self) {
        let mut console = self.log("browser").await;
        let events: Vec<Value> = self.log("performance").await.iter().filter_map(event).collect();
        let mut seen = self.seen.lock().unwrap();
        events.iter().for_each(|event| seen.take(event));
        seen.console.append(&mut console);
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("se/log", json!({"type": kind})).await;
        entries.unwrap_or_else(|error| panic!("the log of the {kind}: {error}")).as_array().cloned().unwrap_or_default()
    }
}

/// What an entry is about; it holds it as text.
fn event(entry: &Value) -> Option<Value> {
    let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
    event.get("message").cloned()
}
