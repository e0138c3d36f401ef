//! Every URL of the server, on one page. A route is here or nowhere: the table makes both the application and the list
//! that the OpenAPI document and the route tests are held to.
//!
//! The pipeline stands around each path rather than around the application: it is told which one was found, where it
//! would have to look for it a second time.

use crate::{api, failure::Failure, pages, pipeline, problem::Format};
use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServiceRequest,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    middleware::from_fn,
    web,
};

/// Who may call a route at all; what they may do there is authorised further on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a credential; one that is sent is not looked at.
    Public,
    /// Whoever has a living credential.
    Credential,
    /// Whoever is signed in with a browser. Everybody else is shown where to sign in.
    Page,
    /// Any browser: a page for those who are not signed in.
    Visit,
}

/// What was found for a request's path.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The template of the path, for labels; `other` where there is none.
    pub pattern: &'static str,
    /// Who may call it.
    pub access: Access,
    /// In which form its failures are told.
    pub format: Format,
}

/// What no route was found for.
const OTHER: Found = Found { pattern: "other", access: Access::Credential, format: Format::Problem };

/// The same for whoever looks for a page.
const OTHER_PAGE: Found = Found { pattern: "other", access: Access::Page, format: Format::Page };

/// Whether a person at a browser is looking for something that the API does not have.
fn asks_for_page(request: &ServiceRequest) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    !request.path().starts_with("/api/") && request.headers().get(header::ACCEPT).is_some_and(accepts)
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, as a template.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

macro_rules! routes {
    ($($path:literal $access:ident { $($method:ident => $handler:path),+ $(,)? })+) => {
        /// The table.
        pub const ROUTES: &[Route] = &[
            $($(Route { method: stringify!($method), path: $path, access: Access::$access },)+)+
        ];

        /// Puts every route of the table into an application.
        pub fn configure(config: &mut web::ServiceConfig) {
            $(
                let found = Found { pattern: $path, access: Access::$access, format: format(Access::$access, $path) };
                config.service(
                    web::resource($path)
                        $(.route(web::method(Method::$method).to($handler)))+
                        .default_service(web::to(|| method_not_allowed(&[$(stringify!($method)),+])))
                        .wrap(from_fn(move |request, next| pipeline::run(found, request, next))),
                );
            )+
            let pipeline = from_fn(|request: ServiceRequest, next| {
                pipeline::run(if asks_for_page(&request) { OTHER_PAGE } else { OTHER }, request, next)
            });
            config.default_service(actix_service::apply(pipeline, web::to(no_such_address)));
        }
    };
}

routes! {
    // Looked through from the top, so what is asked most stands first.
    "/api/v1/clusters" Credential { GET => api::clusters::list, POST => api::clusters::add }
    "/api/v1/clusters/{cluster}/k8s/{path:.*}" Credential {
        GET => api::native::any,
        POST => api::native::any,
        PUT => api::native::any,
        PATCH => api::native::any,
        DELETE => api::native::any,
    }
    "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}" Credential {
        GET => api::kubernetes::namespaced_collection,
        POST => api::kubernetes::namespaced_collection,
        DELETE => api::kubernetes::namespaced_collection,
    }
    "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}" Credential {
        GET => api::kubernetes::namespaced_object,
        PUT => api::kubernetes::namespaced_object,
        PATCH => api::kubernetes::namespaced_object,
        DELETE => api::kubernetes::namespaced_object,
    }
    "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}" Credential {
        GET => api::kubernetes::namespaced_part,
        POST => api::kubernetes::namespaced_part,
        PUT => api::kubernetes::namespaced_part,
        PATCH => api::kubernetes::namespaced_part,
    }
    "/api/v1/clusters/{cluster}" Credential {
        GET => api::clusters::show,
        PATCH => api::clusters::change,
        DELETE => api::clusters::remove,
    }
    // Before the resources of no namespace: `kubeconfig`, `webhook-token`, the two below `webhooks`, and `k8s` are ours, and name
    // none of them.
    "/api/v1/clusters/{cluster}/kubeconfig" Credential { GET => api::clusters::kubeconfig }
    "/api/v1/clusters/{cluster}/webhook-token" Credential {
        POST => api::webhooks::make_token,
        DELETE => api::webhooks::remove_token,
    }
    "/api/v1/clusters/{cluster}/webhooks/token-review" Public { POST => api::webhooks::review_token }
    "/api/v1/clusters/{cluster}/webhooks/subject-access-review" Public { POST => api::webhooks::review_access }
    "/api/v1/clusters/{cluster}/{resource}" Credential {
        GET => api::kubernetes::cluster_collection,
        POST => api::kubernetes::cluster_collection,
        DELETE => api::kubernetes::cluster_collection,
    }
    "/api/v1/clusters/{cluster}/{resource}/{name}" Credential {
        GET => api::kubernetes::cluster_object,
        PUT => api::kubernetes::cluster_object,
        PATCH => api::kubernetes::cluster_object,
        DELETE => api::kubernetes::cluster_object,
    }
    "/api/v1/clusters/{cluster}/{resource}/{name}/{part}" Credential {
        GET => api::kubernetes::cluster_part,
        POST => api::kubernetes::cluster_part,
        PUT => api::kubernetes::cluster_part,
        PATCH => api::kubernetes::cluster_part,
    }

    "/" Page { GET => pages::home }
    "/assets/{hash}/{name}" Public { GET => pages::assets::asset }
    "/sign-in" Visit { GET => pages::sign_in::show, POST => pages::sign_in::submit }
    "/sign-in/code" Visit { GET => pages::sign_in::code_gone, POST => pages::sign_in::submit_code }
    "/sign-out" Page { GET => pages::home, POST => pages::sign_in::sign_out }
    "/verify" Page { GET => pages::verify::show, POST => pages::verify::submit }
    "/profile/api-keys" Page { GET => pages::api_keys::list }
    "/profile/api-keys/new" Page { GET => pages::api_keys::new, POST => pages::api_keys::create }
    "/profile/api-keys/{id}/revoke" Page { GET => pages::api_keys::ask_to_revoke, POST => pages::api_keys::revoke }
    "/settings/users" Page { GET => pages::users::list }
    "/settings/users/new" Page { GET => pages::users::new, POST => pages::users::create }
    "/settings/users/{id}" Page { GET => pages::users::user::show }
    "/settings/users/{id}/role" Page { GET => pages::users::rights::ask_for_role, POST => pages::users::rights::give_role }
    "/settings/users/{id}/assignments/new" Page {
        GET => pages::users::rights::ask_to_assign,
        POST => pages::users::rights::assign,
    }
    "/settings/users/{id}/assignments/remove" Page {
        GET => pages::users::rights::ask_to_unassign,
        POST => pages::users::rights::unassign,
    }
    "/settings/users/{id}/disable" Page {
        GET => pages::users::account::ask_to_disable,
        POST => pages::users::account::disable,
    }
    "/settings/users/{id}/enable" Page {
        GET => pages::users::account::ask_to_enable,
        POST => pages::users::account::enable,
    }
    "/settings/users/{id}/reset-password" Page {
        GET => pages::users::account::ask_to_reset_password,
        POST => pages::users::account::reset_password,
    }
    "/settings/users/{id}/reset-second-factor" Page {
        GET => pages::users::account::ask_to_reset_second_factor,
        POST => pages::users::account::reset_second_factor,
    }
    "/settings/users/{id}/delete" Page {
        GET => pages::users::account::ask_to_delete,
        POST => pages::users::account::delete,
    }
    // The same page: where its tables are turned and sorted.
    "/settings/users/{id}/api-keys" Page { GET => pages::users::user::show }
    "/settings/users/{id}/api-keys/revoke-all" Page {
        GET => pages::users::access::ask_to_revoke_all,
        POST => pages::users::access::revoke_all,
    }
    "/settings/users/{id}/api-keys/{key_id}/revoke" Page {
        GET => pages::users::access::ask_to_revoke,
        POST => pages::users::access::revoke,
    }
    "/settings/users/{id}/sessions" Page { GET => pages::users::user::show_sessions }
    "/settings/users/{id}/sessions/end" Page {
        GET => pages::users::access::ask_to_end_all,
        POST => pages::users::access::end_all,
    }
    "/settings/users/{id}/sessions/{session_id}/end" Page {
        GET => pages::users::access::ask_to_end,
        POST => pages::users::access::end,
    }
    "/settings/roles" Page { GET => pages::roles::list }
    "/settings/roles/new" Page { GET => pages::roles::edit::new, POST => pages::roles::edit::create }
    "/settings/roles/{name}" Page { GET => pages::roles::edit::show, POST => pages::roles::edit::change }
    // Where a code is asked for before anything is ticked; and the way to a role that is called `new`.
    "/settings/roles/{name}/edit" Page { GET => pages::roles::edit::edit, POST => pages::roles::edit::change }
    "/settings/roles/{name}/delete" Page { GET => pages::roles::edit::ask_to_delete, POST => pages::roles::edit::delete }

    "/clusters" Page { GET => pages::clusters::list }
    "/clusters/{cluster}" Page { GET => pages::workloads::namespaces }
    "/clusters/{cluster}/health" Page { GET => pages::clusters::health }
    "/clusters/{cluster}/namespaces/{namespace}" Page { GET => pages::workloads::workloads }
    "/clusters/{cluster}/namespaces/{namespace}/{kind}/{name}/scale" Page {
        GET => pages::workloads::ask_to_scale,
        POST => pages::workloads::scale,
    }
    "/clusters/{cluster}/namespaces/{namespace}/{kind}/{name}/restart" Page {
        GET => pages::workloads::ask_to_restart,
        POST => pages::workloads::restart,
    }
    "/settings/clusters" Page { GET => pages::clusters::settings::list }
    "/settings/clusters/new" Page { GET => pages::clusters::add::new, POST => pages::clusters::add::create }
    "/settings/clusters/{cluster}/change" Page {
        GET => pages::clusters::settings::ask_to_change,
        POST => pages::clusters::settings::change,
    }
    "/settings/clusters/{cluster}/remove" Page {
        GET => pages::clusters::settings::ask_to_remove,
        POST => pages::clusters::settings::remove,
    }
    "/settings/audit-logs" Page { GET => pages::audit::list }
    "/settings/audit-logs/export" Page { GET => pages::audit::export }
    "/settings/audit-logs/{id}" Page { GET => pages::audit::entry }
    "/profile/security" Page { GET => pages::security::show }
    "/profile/security/second-factor" Page {
        GET => pages::security::second_factor::show,
        POST => pages::security::second_factor::set_up,
    }
    "/profile/security/second-factor/enable" Page {
        GET => pages::security::second_factor::enable_gone,
        POST => pages::security::second_factor::enable,
    }
    "/profile/security/second-factor/off" Page {
        GET => pages::security::second_factor::ask_off,
        POST => pages::security::second_factor::off,
    }
    "/profile/security/recovery-codes" Page {
        GET => pages::security::recovery_codes::ask,
        POST => pages::security::recovery_codes::renew,
    }
    "/profile/security/sessions/end" Page {
        GET => pages::security::sessions::ask_to_end_others,
        POST => pages::security::sessions::end_others,
    }
    "/profile/security/sessions/{id}/end" Page {
        GET => pages::security::sessions::ask_to_end,
        POST => pages::security::sessions::end,
    }
    "/profile/security/password" Page {
        GET => pages::security::password::show,
        POST => pages::security::password::submit,
    }

    "/healthz" Public { GET => api::health::live }
    "/readyz" Public { GET => api::health::ready }
    "/api/v1/openapi.json" Public { GET => api::openapi::document }

    "/api/v1/auth/login" Public { POST => api::auth::login }
    "/api/v1/auth/mfa" Public { POST => api::auth::mfa }
    "/api/v1/auth/refresh" Public { POST => api::auth::refresh }
    "/api/v1/auth/logout" Credential { POST => api::auth::logout }
    "/api/v1/auth/me" Credential { GET => api::auth::me }
    "/api/v1/auth/password" Credential { POST => api::auth::password }
    "/api/v1/auth/reverify" Credential { POST => api::second_factor::reverify }
    "/api/v1/auth/sessions" Credential { GET => api::auth::list_sessions, DELETE => api::auth::end_other_sessions }
    "/api/v1/auth/sessions/{id}" Credential { DELETE => api::auth::end_session }
    "/api/v1/auth/totp/setup" Credential { POST => api::second_factor::totp_setup }
    "/api/v1/auth/totp/enable" Credential { POST => api::second_factor::totp_enable }
    "/api/v1/auth/totp/disable" Credential { POST => api::second_factor::totp_disable }
    "/api/v1/auth/totp/recovery-codes" Credential { POST => api::second_factor::recovery_codes }

    "/api/v1/api-keys" Credential { GET => api::api_keys::list, POST => api::api_keys::create }
    "/api/v1/api-keys/current" Credential { GET => api::api_keys::current, DELETE => api::api_keys::revoke_current }
    "/api/v1/api-keys/{id}" Credential { DELETE => api::api_keys::revoke }
    "/api/v1/users" Credential { GET => api::users::list, POST => api::users::create }
    "/api/v1/users/{id}" Credential {
        GET => api::users::show,
        PATCH => api::users::change,
        DELETE => api::users::delete,
    }
    "/api/v1/users/{id}/reset-password" Credential { POST => api::users::reset_password }
    "/api/v1/users/{id}/second-factor" Credential { DELETE => api::users::reset_second_factor }
    "/api/v1/users/{id}/assignments" Credential { PUT => api::users::assign, DELETE => api::users::unassign }
    "/api/v1/users/{id}/sessions" Credential { GET => api::user_sessions::list_sessions, DELETE => api::user_sessions::end_sessions }
    "/api/v1/users/{id}/sessions/{session_id}" Credential { DELETE => api::user_sessions::end_session }
    "/api/v1/users/{id}/api-keys" Credential {
        GET => api::user_keys::list_keys,
        POST => api::user_keys::mint_refused,
        DELETE => api::user_keys::revoke_all_keys,
    }
    "/api/v1/users/{id}/api-keys/{key_id}" Credential { DELETE => api::user_keys::revoke_key }

    "/api/v1/roles" Credential { GET => api::roles::list, POST => api::roles::create }
    "/api/v1/roles/{name}" Credential {
        GET => api::roles::show,
        PATCH => api::roles::change,
        DELETE => api::roles::delete,
    }

    "/api/v1/audit-logs" Credential { GET => api::audit::list }
    "/api/v1/audit-logs/export" Credential { GET => api::audit::export }
}

/// Where the Kubernetes API itself is spoken.
const NATIVE: &str = "/api/v1/clusters/{cluster}/k8s/{path:.*}";

/// In which form failures of a route are told.
fn format(access: Access, pattern: &str) -> Format {
    match access {
        Access::Page | Access::Visit => Format::Page,
        Access::Public | Access::Credential if pattern == NATIVE => Format::Status,
        Access::Public | Access::Credential => Format::Problem,
    }
}

async fn no_such_address(request: HttpRequest) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    Err(Failure::NotFound { what: "address" })
}

/// An address that takes no parameters refuses them rather than ignoring them.
///
/// # Errors
/// [`Failure::Invalid`].
pub fn no_query(request: &HttpRequest) -> Result<(), Failure> {
    match request.query_string() {
        "" => Ok(()),
        _ => Err(Failure::invalid("unknown_parameter", "This address takes no query parameters.")),
    }
}

async fn method_not_allowed(methods: &'static [&'static str]) -> Result<HttpResponse, Failure> {
    let detail = format!("This address knows {} only.", methods.join(", "));
    Err(Failure::Invalid { status: 405, code: "method_not_allowed", detail })
}
