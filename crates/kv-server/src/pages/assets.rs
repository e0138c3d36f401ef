//! Assets: the stylesheet, the script and the icon, compiled in. Their addresses carry their content's hash, so that
//! browsers keep them for good and never show an old one.
//!
//! Nothing here is anybody's: what is served is the same for everyone.

use crate::{app::App, failure::Failure, routes::no_query};
use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, sync::Arc};

/// A file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const STYLE: Asset =
    Asset { name: "app.css", media_type: "text/css; charset=utf-8", bytes: include_bytes!("../../assets/app.css") };
const SCRIPT: Asset = Asset {
    name: "app.js",
    media_type: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../assets/app.js"),
};
const ICON: Asset =
    Asset { name: "icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("../../assets/icon.svg") };

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Assets {
    /// The stylesheet.
    pub style: String,
    /// The script.
    pub script: String,
    /// The icon.
    pub icon: String,
}

impl Assets {
    /// The addresses of the files as they are in this build.
    #[must_use]
    pub fn new() -> Self {
        let [style, script, icon] =
            [&STYLE, &SCRIPT, &ICON].map(|asset| format!("/assets/{}/{}", asset.hash(), asset.name));
        Self { style, script, icon }
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self::new()
    }
}

impl Asset {
    /// The first 64 bits of its digest: no two versions of one file share them by chance.
    fn hash(&self) -> String {
        Sha256::digest(self.bytes)[..8].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Serves a file.
///
/// # Errors
/// [`Failure::NotFound`] for another name or hash.
pub async fn asset(app: Data<Arc<App>>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let Assets { style, script, icon } = &app.assets;
    let found = [(style, STYLE), (script, SCRIPT), (icon, ICON)].into_iter().find(|(path, _)| *path == request.path());
    let (_, found) = found.ok_or(Failure::NotFound { what: "file" })?;
    Ok(HttpResponse::Ok()
        .content_type(found.media_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(found.bytes))
}
