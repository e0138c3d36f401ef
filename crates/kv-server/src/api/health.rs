//! Health, for load balancers: alive as long as the process answers, ready while the database does and nothing stops.

use crate::app::App;
use actix_web::{HttpResponse, web::Data};
use std::sync::Arc;

/// Alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process answers.")))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok")
}

/// Ready to serve.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "The database answers and its schema is current."),
    (status = 503, description = "It does not, the server's lease has run out, or it is stopping."),
))]
pub async fn ready(app: Data<Arc<App>>) -> HttpResponse {
    let not_ready = |why| HttpResponse::ServiceUnavailable().content_type("text/plain").body(why);
    if app.is_draining() {
        return not_ready("stopping");
    }
    if !app.in_flight.lease().holds() {
        return not_ready("the lease has run out");
    }
    match app.with_store(kv_store::Store::check).await {
        Ok(()) => HttpResponse::Ok().content_type("text/plain").body("ok"),
        Err(_) => not_ready("database unavailable"),
    }
}
