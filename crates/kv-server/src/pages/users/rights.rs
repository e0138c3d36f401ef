//! What a user may do, and where: their role, and the clusters and namespaces assigned to them.
//!
//! What they hold is decided by the operations; these forms only ask for it.

use super::{
    HERE,
    sections::{EVERY, Typed, removal},
    user::{Known, Over, again, ask},
    users,
};
use crate::{
    api::{input::query, users::known},
    caller::Caller,
    failure::Failure,
    operations::{assign_user, change_user},
    pages::{
        error::{detail, see_other},
        form::Form,
        kept::keep,
        parts::{self, Dialog},
        reader::Reader,
        settings::{Refusal, done_at},
        texts::said,
    },
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    action::{AssignUser, ChangeRoleOfUser, UnassignUser},
    audit::{Event, Target},
};
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::BTreeSet;

fn lines() -> Target {
    Target::of("assignments")
}

/// Shows the form of the role.
///
/// # Errors
/// [`Failure`].
pub async fn ask_for_role(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<ChangeRoleOfUser>(&caller, &request, &path, |reader, _| {
        let role = reader.kept.as_ref().map(|kept| kept.text("role").to_owned());
        Some(Over { typed: Typed { role, ..Typed::default() }, ..Over::default() })
    })
    .await
}

/// Gives a user another role.
///
/// # Errors
/// [`Failure`].
pub async fn give_role(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserChange, users());
    no_query(&request)?;
    form.only(&["role"], &[])?;
    keep(&request, &form, &["role"]);
    let role = form.text("role");
    let wanted = change_user::Wanted { role: Some(role.to_owned()), ..change_user::Wanted::default() };
    let done = caller
        .act(Event::UserChange, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<ChangeRoleOfUser>(&path, &acting)?;
            change_user::change_user(&acting, user, &wanted).await
        })
        .await;
    match done {
        Ok(_) => Ok(done_at(&format!("{HERE}/{path}"), "role-given")),
        Err(failure) => {
            let refusal = Refusal::of(failure)?;
            again(&caller, &request, &path, |_, _| Over {
                typed: Typed { role: Some(role.to_owned()), role_error: Some(refusal.words), ..Typed::default() },
                status: refusal.status,
                dialog: None,
            })
            .await
        }
    }
}

/// Shows the form that assigns.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_assign(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<AssignUser>(&caller, &request, &path, |reader, _| {
        let typed = |kept: &Form| (kept.text("cluster").to_owned(), kept.text("namespaces").to_owned());
        let place = reader.kept.as_ref().map(typed);
        Some(Over { typed: Typed { place, ..Typed::default() }, ..Over::default() })
    })
    .await
}

/// The namespaces in a list with commas. All of them, if nothing is there at all: commas alone are a slip, and are refused as
/// a name that is none.
fn namespaces(text: &str) -> Option<BTreeSet<String>> {
    let names = || text.split(',').map(str::trim);
    let mut named: BTreeSet<_> = names().filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if named.is_empty() {
        named.extend((names().count() > 1).then(String::new));
    }
    (!named.is_empty()).then_some(named)
}

/// Assigns.
///
/// # Errors
/// [`Failure`].
pub async fn assign(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserAssign, lines());
    no_query(&request)?;
    form.only(&["cluster", "namespaces"], &[])?;
    keep(&request, &form, &["cluster", "namespaces"]);
    let (chosen, typed) = (form.text("cluster"), form.text("namespaces"));
    let (cluster, names) = ((chosen != EVERY).then_some(chosen), namespaces(typed));
    let done = caller
        .act(Event::UserAssign, lines(), async |view| {
            let acting = caller.acting(view);
            let user = known::<AssignUser>(&path, &acting)?;
            assign_user::assign_user(&acting, user, cluster, names.clone()).await
        })
        .await;
    let refusal = match done {
        Ok(()) => return Ok(done_at(&format!("{HERE}/{path}"), "assigned")),
        Err(failure @ Failure::NotFound { what: "cluster" }) => {
            let words = detail(&failure, &Problem::new(&failure, ""));
            Refusal { code: failure.code(), words, status: StatusCode::NOT_FOUND }
        }
        Err(failure) => Refusal::of(failure)?,
    };
    again(&caller, &request, &path, |_, _| {
        let about_names = refusal.code == "invalid_namespace";
        let (cluster_error, namespaces_error) =
            if about_names { (None, Some(refusal.words)) } else { (Some(refusal.words), None) };
        let place = Some((chosen.to_owned(), typed.to_owned()));
        let typed = Typed { place, cluster_error, namespaces_error, ..Typed::default() };
        Over { typed, status: refusal.status, dialog: None }
    })
    .await
}

/// For which cluster something is taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    cluster: String,
}

impl Taken {
    fn cluster(&self) -> Option<&str> {
        (self.cluster != EVERY).then_some(self.cluster.as_str())
    }
}

/// Shows the dialog that takes an assignment.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_unassign(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    let taken: Taken = query(&request)?;
    ask::<UnassignUser>(&caller, &request, &path, |reader, known| {
        let there = known.lines.iter().any(|line| line.cluster.as_deref() == taken.cluster());
        there.then(|| Over::dialog(dialog(reader, known, &taken, None)))
    })
    .await
}

/// Takes what a user has for a cluster, or what they have for every one.
///
/// # Errors
/// [`Failure`].
pub async fn unassign(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserUnassign, lines());
    let taken: Taken = query(&request)?;
    form.only(&[], &[])?;
    let done = caller
        .act(Event::UserUnassign, lines(), async |view| {
            let acting = caller.acting(view);
            let user = known::<UnassignUser>(&path, &acting)?;
            assign_user::unassign_user(&acting, user, taken.cluster()).await
        })
        .await;
    let here = format!("{HERE}/{path}");
    match done {
        Ok(()) => Ok(done_at(&here, "unassigned")),
        // Gone by now: the page tells.
        Err(Failure::NotFound { what: "assignment" | "cluster" }) => Ok(see_other(&here)),
        Err(failure) => {
            let refusal = Refusal::of(failure)?;
            again(&caller, &request, &path, |reader, known| Over {
                dialog: Some(dialog(reader, known, &taken, Some(&refusal))),
                status: refusal.status,
                ..Over::default()
            })
            .await
        }
    }
}

fn dialog(reader: &Reader, known: &Known, taken: &Taken, refusal: Option<&Refusal>) -> Markup {
    let (t, d, here) = (&reader.texts.users, &reader.texts.user_dialogs, known.address());
    Dialog {
        title: &said(&said(d.remove_title, taken.cluster().unwrap_or(t.every_cluster)), &known.user.name),
        lead: html! { (d.remove_what) },
        fields: html! { @if let Some(refusal) = refusal { (parts::alert(&refusal.words)) } },
        action: &removal(&here, &taken.cluster),
        cancel: &here,
        button: d.remove_action,
        busy: d.removing,
        danger: true,
    }
    .markup(reader)
}

#[cfg(test)]
mod tests {
    use super::namespaces;

    #[test]
    fn nothing_means_all_namespaces() {
        assert_eq!(namespaces("  "), None);
        assert_eq!(namespaces(" , ").map(Vec::from_iter), Some(vec![String::new()]));
        assert_eq!(namespaces(" b, a,,a ,").map(Vec::from_iter), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
