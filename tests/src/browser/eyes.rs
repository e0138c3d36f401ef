//! What a person sees of a page, and what is in it that they do not see. Never here: a change of it.

use super::{Browser, Look, Not};
use base64::Engine as _;
use fantoccini::Locator;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The highest page that is pictured whole.
const HIGHEST: f64 = 6000.0;

impl Browser {
    /// The text of what a selector names, once it is there.
    ///
    /// # Panics
    /// Where it does not come.
    pub async fn text(&self, css: &str) -> String {
        self.patiently(&format!("reading {css}"), async || {
            Ok(self.client.find(Locator::Css(css)).await?.text().await?)
        })
        .await
    }

    /// The texts of everything that a selector names now.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)";
        serde_json::from_value(self.run(script, &[json!(css)]).await).unwrap()
    }

    /// Whether what a selector names is there now, and shown.
    pub async fn has(&self, css: &str) -> bool {
        let script = "return [...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility())";
        self.run(script, &[json!(css)]).await == json!(true)
    }

    /// Waits until what a selector names is there and shown.
    ///
    /// # Panics
    /// Where it does not come.
    pub async fn await_css(&self, css: &str) {
        let waited = format!("waiting for {css}");
        self.patiently(&waited, async || if self.has(css).await { Ok(()) } else { Err(not_yet("it is not there")) })
            .await;
    }

    /// Whether the page shows a text now.
    pub async fn shows(&self, text: &str) -> bool {
        let script = "return (document.body?.innerText ?? '').replace(/\\s+/g, ' ').includes(arguments[0])";
        self.run(script, &[json!(text)]).await == json!(true)
    }

    /// Waits until the page shows a text.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn await_text(&self, text: &str) {
        let waited = format!("waiting until it says {text:?}");
        self.patiently(&waited, async || if self.shows(text).await { Ok(()) } else { Err(not_yet("it does not")) })
            .await;
    }

    /// The page's path, with its query.
    ///
    /// # Panics
    /// Where there is no page.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Waits until the page's path, with its query, is this one.
    ///
    /// # Panics
    /// Where it does not become so.
    pub async fn await_path(&self, path: &str) {
        self.patiently(&format!("waiting for {path}"), async || {
            let now = self.path().await;
            if now == path { Ok(()) } else { Err(Not::Yet(format!("it is {now}"))) }
        })
        .await;
    }

    /// The page's title.
    ///
    /// # Panics
    /// Where there is no page.
    pub async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }

    /// The page as the browser has it now, as HTML.
    ///
    /// # Panics
    /// Where there is no page.
    pub async fn source(&self) -> String {
        self.client.source().await.unwrap()
    }

    /// What stands in any field of the page, in any storage that scripts have, in its address, title and name: all that a
    /// page may keep beside its source.
    pub async fn kept(&self) -> Value {
        let script = "
            // A page that is nobody's has neither storage nor cookies, and says so by throwing.
            const all = of => { try { return Object.entries(of()) } catch { return [] } };
            const fields = [...document.querySelectorAll('input, textarea, select')].map(e => e.value);
            const pages = performance.getEntriesByType('resource').map(e => e.name);
            return [document.URL, document.referrer, document.title, window.name, history.state, fields,
                all(() => localStorage), all(() => sessionStorage), all(() => [document.cookie]), pages];
        ";
        self.run(script, &[]).await
    }

    /// The words of a dialog that a page has opened by a script.
    ///
    /// # Panics
    /// Where the browser does not tell.
    pub async fn alerted(&self) -> Option<String> {
        match self.client.get_alert_text().await {
            Ok(words) => Some(words),
            Err(error) if error.is_no_such_alert() => None,
            Err(error) => panic!("whether there is a dialog: {error}"),
        }
    }

    /// Writes a picture of the whole page to `target/screenshots/NAME.png`.
    ///
    /// # Panics
    /// Where it cannot be made or written.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let metrics = self.tell("Page.getLayoutMetrics", json!({})).await;
        let height = metrics["cssContentSize"]["height"].as_f64().unwrap().min(HIGHEST);
        let Look { width, height: window, .. } = self.look();
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height.max(f64::from(window)), "scale": 1});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.tell("Page.captureScreenshot", wanted).await;
        let picture = base64::prelude::BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, picture).unwrap();
        file
    }
}

fn not_yet(why: &str) -> Not {
    Not::Yet(why.to_owned())
}
