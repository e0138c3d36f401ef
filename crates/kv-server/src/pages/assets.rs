//! Assets: the stylesheet, the script and the icon, compiled in. Their addresses carry their content's hash, so that
//! browsers keep them for good and never show an old one.
//!
//! Nothing here is anybody's: what is served is the same for everyone.

use crate::{app::App, failure::Failure, routes::no_query};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, io::Write as _, sync::Arc};

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
pub struct Addresses {
    /// The stylesheet.
    pub style: String,
    /// The script.
    pub script: String,
    /// The icon.
    pub icon: String,
}

impl Addresses {
    /// The addresses of the files as they are in this build.
    #[must_use]
    pub fn new() -> Self {
        let [style, script, icon] =
            [&STYLE, &SCRIPT, &ICON].map(|asset| format!("/assets/{}/{}", asset.hash(), asset.name));
        Self { style, script, icon }
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new()
    }
}

/// The files, ready to be sent.
#[derive(Debug)]
pub struct Assets {
    /// Where they are.
    pub addresses: Addresses,
    /// The same packed. Pages themselves are not: what is typed into an address would show in the length of a page that has a
    /// token in it (BREACH).
    packed: [Bytes; 3],
}

impl Assets {
    /// Packs the files.
    ///
    /// # Errors
    /// What writing to memory may fail with.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { addresses: Addresses::new(), packed: [STYLE.packed()?, SCRIPT.packed()?, ICON.packed()?] })
    }
}

impl Asset {
    fn packed(&self) -> std::io::Result<Bytes> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(self.bytes)?;
        Ok(packed.finish()?.into())
    }

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
    let Assets { addresses: Addresses { style, script, icon }, packed } = &app.assets;
    let known = [(style, STYLE), (script, SCRIPT), (icon, ICON)].into_iter().zip(packed);
    let ((_, found), packed) =
        { known }.find(|((path, _), _)| *path == request.path()).ok_or(Failure::NotFound { what: "file" })?;
    let accepts = |value: &header::HeaderValue| value.to_str().is_ok_and(|value| value.contains("gzip"));
    let takes_packed = request.headers().get_all(header::ACCEPT_ENCODING).any(accepts);
    let mut response = HttpResponse::Ok();
    response
        .content_type(found.media_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::VARY, "accept-encoding"));
    Ok(match takes_packed {
        true => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(packed.clone()),
        false => response.body(found.bytes),
    })
}
