//! How a page is looked at: bright or dark, wide or narrow, with scripts or without; and where what it gives is kept. Never
//! here: what is looked at.

use super::Browser;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What the reader prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on a bright page.
    Light,
    /// The other way round.
    Dark,
}

/// A way to look at pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What the reader prefers.
    pub scheme: Scheme,
    /// The window's inner width. At most 480 is a phone: no bar beside what scrolls, and the page says how wide it is.
    pub width: u32,
    /// Its inner height.
    pub height: u32,
    /// Whether scripts of pages run.
    pub javascript: bool,
}

impl Look {
    /// A bright window on a desk.
    pub const DESK: Self = Self { scheme: Scheme::Light, width: 1280, height: 800, javascript: true };
    /// A dark one.
    pub const DARK: Self = Self { scheme: Scheme::Dark, ..Self::DESK };
    /// The narrowest phone.
    pub const PHONE: Self = Self { width: 320, height: 640, ..Self::DESK };

    /// The same without scripts.
    #[must_use]
    pub const fn without_javascript(self) -> Self {
        Self { javascript: false, ..self }
    }
}

impl Browser {
    /// Looks at pages in another way from here on. Without scripts, those of the present page stop; one that is to be without
    /// them from its beginning is opened after this.
    ///
    /// # Panics
    /// Where the browser refuses.
    pub async fn wear(&self, look: Look) {
        let scheme = if look.scheme == Scheme::Dark { "dark" } else { "light" };
        self.prefers(&[("prefers-color-scheme", scheme)]).await;
        let metrics = json!({
            "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width <= 480,
        });
        self.tell("Emulation.setDeviceMetricsOverride", metrics).await;
        self.tell("Emulation.setScriptExecutionDisabled", json!({"value": !look.javascript})).await;
        *self.look.lock().unwrap() = look;
    }

    /// Says what the reader prefers, such as `("prefers-reduced-motion", "reduce")`; the colours go with the look and are
    /// told again with it.
    ///
    /// # Panics
    /// Where the browser refuses.
    pub async fn prefers(&self, features: &[(&str, &str)]) {
        let features: Vec<Value> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.tell("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Puts the reader into another time zone, such as `Asia/Tokyo`.
    ///
    /// # Panics
    /// Where there is no such zone.
    pub async fn travel(&self, zone: &str) {
        self.tell("Emulation.setTimezoneOverride", json!({"timezoneId": zone})).await;
    }

    /// Lets no more bytes a second through from here on, so that a page comes in pieces as it does from afar.
    ///
    /// # Panics
    /// Where the browser refuses.
    pub async fn slow_down(&self, bytes: u32) {
        let wanted = json!({"offline": false, "latency": 0, "downloadThroughput": bytes, "uploadThroughput": -1});
        self.tell("Network.emulateNetworkConditions", wanted).await;
    }

    /// Keeps what is downloaded from here on, in a folder that is gone with the browser.
    ///
    /// # Panics
    /// Where the browser refuses.
    pub async fn keep_downloads(&self) -> PathBuf {
        let folder = self.folder().join("downloads");
        let wanted = json!({"behavior": "allow", "downloadPath": folder});
        self.tell("Browser.setDownloadBehavior", wanted).await;
        folder
    }

    /// The present look.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn look(&self) -> Look {
        *self.look.lock().unwrap()
    }
}
