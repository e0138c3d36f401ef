//! The JSON API: bodies and parameters in, values out. Each handler reads its input, calls one operation and writes its
//! answer; nothing is decided here.

pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod clusters;
mod flowing;
pub mod health;
pub mod input;
pub mod kubernetes;
pub mod native;
pub mod openapi;
pub mod roles;
pub mod second_factor;
pub mod user_keys;
pub mod user_sessions;
pub mod users;
pub mod webhooks;

use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// To be sent as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// From a page, each item in its written form.
    pub fn of<S>(page: kv_store::Page<S>, written: impl Fn(S) -> T) -> Self {
        Self { items: page.items.into_iter().map(written).collect(), next_cursor: page.next.map(|id| id.to_string()) }
    }
}
