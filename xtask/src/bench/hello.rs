//! The baseline: the least an actix-web server does to answer, with as many workers and as long a body as the real one.

use crate::error::{Done, Tried};
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::SocketAddr;

/// The answer of a user without clusters.
const BODY: &str = r#"{"items":[],"next_cursor":null}"#;
/// The server's own most.
const MAX_WORKERS: usize = 8;

/// Serves until it is ended.
pub(crate) fn hello(listen: SocketAddr) -> Done {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(MAX_WORKERS);
    let serve = async {
        HttpServer::new(|| App::new().default_service(web::to(answer))).workers(workers).bind(listen)?.run().await
    };
    actix_web::rt::System::new().block_on(serve).tried("serving")
}

async fn answer() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(BODY)
}
