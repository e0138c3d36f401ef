//! A browser as people have it: Chromium with no window, by way of chromedriver, each with a profile of its own that is gone
//! with it. Never here: a wait of fixed length – everything is awaited until it is so – or anything of the server's inside.
//!
//! What is done by mouse and by keys is in `hands`, what is seen in `eyes`, what is held against a page in `judge`. Scripts of
//! ours run without those of the page, and whatever its policy is.

mod answers;
mod driver;
mod eyes;
mod hands;
mod judge;
mod look;

pub use answers::Loaded;
pub use fantoccini::key::Key;
pub use look::{Look, Scheme};

use crate::{PATIENCE, programs::program};
use driver::Driver;
use fantoccini::{
    Client, ClientBuilder,
    cookies::Cookie,
    elements::{Element, ElementRef},
    error::CmdError,
    wd::WebDriverCompatibleCommand,
};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, sync::Mutex, time::Duration};

/// What Chromium is told. In containers there is neither a sandbox for root nor much shared memory; it calls nobody by itself;
/// and by the pipe it ends with its driver.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
    "--remote-debugging-pipe",
];

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    base: String,
    patience: Duration,
    look: Mutex<Look>,
    seen: Mutex<answers::Seen>,
    driver: Driver,
}

/// Why something is not so: not yet, or never.
enum Not {
    Yet(String),
    Ever(String),
}

impl From<CmdError> for Not {
    fn from(error: CmdError) -> Self {
        match error {
            CmdError::Standard(ref told) if !error.is_unexpected_alert_open() => Self::Yet(told.to_string()),
            // A page that opens a dialog of the browser's is one that somebody else has written.
            other => Self::Ever(other.to_string()),
        }
    }
}

impl Browser {
    /// Opens a browser on an empty page.
    ///
    /// # Panics
    /// Where there is none, or it does not start: no test of it can be left out.
    pub async fn open(look: Look) -> Self {
        let mut driver = Driver::start().await;
        let chromium = program("chromium", "KUBEVISION_TEST_CHROMIUM");
        let profile = format!("--user-data-dir={}", driver.profile().display());
        let flags: Vec<&str> = FLAGS.iter().copied().chain([profile.as_str()]).collect();
        let wanted = json!({
            // A server with TLS has a certificate of its test's own.
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {
                "binary": chromium,
                "args": flags,
                // The page it would begin with is larger than all of ours.
                "prefs": {"session.restore_on_startup": 4, "session.startup_urls": ["about:blank"]},
                "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false},
            },
        });
        let Value::Object(wanted) = wanted else { unreachable!("written as an object above") };
        let mut connection = ClientBuilder::new(HttpConnector::new());
        let client = connection.capabilities(wanted).connect(&driver.url()).await;
        let client = client.unwrap_or_else(|error| panic!("no browser: {error}\n{}", driver.words()));
        driver.keeps(client.session_id().await.unwrap().unwrap());
        let (base, look_on, seen) = (String::new(), Mutex::new(look), Mutex::default());
        let browser = Self { client, base, patience: PATIENCE, look: look_on, seen, driver };
        browser.wear(look).await;
        browser
    }

    /// Its paths are of the server at this address from here on. To browsers such an address is trusted as if it had TLS:
    /// they take and send `Secure` cookies.
    #[must_use]
    pub fn at(self, address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), ..self }
    }

    /// Another server's, by the scheme and name of a URL.
    #[must_use]
    pub fn at_origin(self, origin: &str) -> Self {
        Self { base: origin.to_owned(), ..self }
    }

    /// With another patience, where something is to be awaited in vain.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Goes to a path of the server, or to a whole URL, and waits until it has loaded.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn goto(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        self.client.goto(&url).await.unwrap_or_else(|error| panic!("to {url}: {error}"));
    }

    /// Goes back by the browser's button.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    /// Goes forward by the browser's button.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn forward(&self) {
        self.client.forward().await.unwrap();
    }

    /// Loads the page once more. A form that would be sent once more for that is.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// All cookies that a request to the present page carries, those that no script sees included.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub async fn cookies(&self) -> Vec<Cookie<'static>> {
        self.client.get_all_cookies().await.unwrap()
    }

    /// Forgets all cookies of the present page.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn forget_cookies(&self) {
        self.client.delete_all_cookies().await.unwrap();
    }

    /// Runs a script of ours in the page, with `arguments`, and takes what it returns.
    ///
    /// # Panics
    /// Where it throws.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let returned = self.client.execute(script, arguments.to_vec()).await;
        returned.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that calls its last argument when it has finished. Only where scripts run: the browser calls nothing
    /// back otherwise.
    ///
    /// # Panics
    /// Where scripts do not run, and where it throws.
    async fn run_long(&self, script: &str) -> Value {
        assert!(self.look().javascript, "without scripts nothing is called back");
        self.client.execute_async(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Tells the browser something that WebDriver has no words for.
    async fn tell(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", body).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Further { method: Method::POST, path: path.to_owned(), body: Some(body) }).await
    }

    async fn get(&self, path: String) -> Result<Value, CmdError> {
        self.client.issue_cmd(Further { method: Method::GET, path, body: None }).await
    }

    fn element(&self, returned: &Value) -> Option<Element> {
        let name = returned.as_object()?.values().next()?.as_str()?;
        Some(Element::from_element_id(self.client.clone(), ElementRef::from(name.to_owned())))
    }

    /// Tries until it succeeds.
    ///
    /// # Panics
    /// When it does not in time, with what was tried, why not, and what the page shows.
    async fn patiently<T>(&self, what: &str, attempt: impl AsyncFn() -> Result<T, Not>) -> T {
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let why = match attempt().await {
                Ok(done) => return done,
                Err(Not::Yet(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
                Err(Not::Yet(why) | Not::Ever(why)) => why,
            };
            panic!("in vain: {what}: {why}\n{}", self.shown_now().await);
        }
    }

    async fn shown_now(&self) -> String {
        let shown = self.client.execute("return document.URL + '\\n' + document.body?.innerText", Vec::new()).await;
        shown.map_or_else(|error| error.to_string(), |shown| shown.as_str().unwrap_or_default().to_owned())
    }

    /// The folder of everything it keeps, which is gone with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.driver.folder()
    }
}

/// A command that the client has no method for.
#[derive(Debug)]
struct Further {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl WebDriverCompatibleCommand for Further {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(Value::to_string))
    }
}
