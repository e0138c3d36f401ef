//! The OpenAPI 3.1 document, made from the handlers' own descriptions. A route without one fails a test.
//!
//! The server does not make it: it carries `openapi.json`, which `cargo xtask openapi` writes. Code that makes it takes a megabyte.

use super::{
    api_keys, audit, auth, clusters, health, kubernetes, native, roles, second_factor, user_keys, user_sessions, users,
    webhooks,
};
use actix_web::HttpResponse;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// The document.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "KubeVision",
        description = "The API of a multi-cluster Kubernetes dashboard. Pipelines send `Authorization: ApiKey <key>`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        health::live, health::ready, document, auth::login, auth::mfa, auth::refresh, auth::logout, auth::me,
        auth::password, auth::list_sessions, auth::end_session, auth::end_other_sessions, second_factor::totp_setup, second_factor::totp_enable,
        second_factor::totp_disable, second_factor::recovery_codes, second_factor::reverify, api_keys::create,
        api_keys::list, api_keys::revoke, api_keys::current, api_keys::revoke_current, users::list, users::create,
        users::show, users::change, users::delete, users::reset_password, users::reset_second_factor, users::assign,
        users::unassign, user_sessions::list_sessions, user_sessions::end_sessions, user_sessions::end_session, user_keys::list_keys,
        user_keys::mint_refused, user_keys::revoke_key, user_keys::revoke_all_keys, roles::list, roles::create,
        roles::show, roles::change, roles::delete, audit::list, audit::export, clusters::list, clusters::add,
        clusters::show, clusters::change, clusters::remove, clusters::kubeconfig,
        webhooks::make_token, webhooks::remove_token, webhooks::review_token, webhooks::review_access,
        kubernetes::describe::list_namespaced, kubernetes::describe::create_namespaced,
        kubernetes::describe::get_namespaced, kubernetes::describe::replace_namespaced,
        kubernetes::describe::patch_namespaced, kubernetes::describe::delete_namespaced,
        kubernetes::describe::list_clusterwide, kubernetes::describe::create_clusterwide,
        kubernetes::describe::get_clusterwide, kubernetes::describe::replace_clusterwide,
        kubernetes::describe::patch_clusterwide, kubernetes::describe::delete_clusterwide,
        kubernetes::describe::delete_collection_namespaced, kubernetes::describe::delete_collection_clusterwide,
        kubernetes::describe::get_part_namespaced, kubernetes::describe::create_part_namespaced,
        kubernetes::describe::replace_part_namespaced, kubernetes::describe::patch_part_namespaced,
        kubernetes::describe::get_part_clusterwide, kubernetes::describe::create_part_clusterwide,
        kubernetes::describe::replace_part_clusterwide, kubernetes::describe::patch_part_clusterwide,
        native::describe::native_get, native::describe::native_post, native::describe::native_put,
        native::describe::native_patch, native::describe::native_delete,
    ),
    modifiers(&Schemes),
)]
pub struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        // A scheme of our own cannot be told as `http`, whose schemes are a closed list; generators understand this.
        components.add_security_scheme(
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "Authorization",
                "`ApiKey kv_live_…`; `Bearer kv_live_…` is accepted too.",
            ))),
        );
        let webhook =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`kvw_…`, of the cluster itself."));
        components.add_security_scheme("webhook", SecurityScheme::Http(webhook.build()));
        components.add_security_scheme("session", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "meta", responses((status = 200, description = "OpenAPI 3.1")))]
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(WRITTEN)
}

/// The document as it was written last.
pub const WRITTEN: &str = include_str!("../../openapi.json");

/// The document as the handlers describe themselves now, as it is to be written.
///
/// # Errors
/// Where a description has no form as JSON.
pub fn text() -> serde_json::Result<String> {
    Document::openapi().to_pretty_json().map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_written_is_what_the_handlers_say() {
        let said = super::text().unwrap();
        assert!(said == super::WRITTEN, "crates/kv-server/openapi.json is out of date: run `cargo xtask openapi`");
    }
}
