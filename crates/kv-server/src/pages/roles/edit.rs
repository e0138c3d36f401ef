//! Settings, Roles, one of them: made, changed, deleted.
//!
//! Whether it may hold what is ticked is decided by the operation.

use super::{
    HERE, address,
    sheet::{Typed, Wrong, form},
    target,
};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::roles,
    pages::{
        form::Form,
        kept::keep,
        layout::{Page, Place},
        parts::{self, Dialog},
        reader::Reader,
        settings::{Refusal, code_first, done_at, refused},
        texts::said,
    },
    routes::no_query,
    view::View,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    action::{ChangeRole, CreateRole, DeleteRole, ListRoles, OwnAction},
    audit::Event,
};
use kv_store::{RoleChange, RoleRecord};
use maud::{Markup, html};

/// Shows the form that makes a role.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleCreate, target());
    no_query(&request)?;
    if let Some(first) = code_first::<CreateRole>(&caller, &request).await? {
        return Ok(first);
    }
    may_create(&caller).await?;
    let reader = Reader::new(&caller, &request)?;
    let typed = reader.kept.as_ref().map(Typed::sent).unwrap_or_default();
    Ok(new_page(&reader, &typed, &Wrong::default(), StatusCode::OK))
}

/// Looks whether the caller may make a role, where nothing else is read.
async fn may_create(caller: &Caller) -> Result<(), Failure> {
    let look = async |view: &View| {
        caller.acting(view).authorize::<CreateRole>(target())?;
        Ok(())
    };
    caller.observe(Event::RoleCreate, target(), look).await
}

/// Makes a role.
///
/// # Errors
/// [`Failure`].
pub async fn create(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleCreate, target());
    no_query(&request)?;
    form.only(&["name", "more"], &["grant"])?;
    keep(&request, &form, &["name", "more", "grant"]);
    let reader = Reader::new(&caller, &request)?;
    let typed = Typed::sent(&form);
    let grants = match typed.grants(&reader.texts.roles) {
        Ok(grants) => grants,
        Err(wrong) => {
            refused::<CreateRole>(&caller, target(), "invalid_permission").await?;
            return Ok(new_page(&reader, &typed, &wrong, StatusCode::UNPROCESSABLE_ENTITY));
        }
    };
    let made = caller
        .act(Event::RoleCreate, target(), async |view| {
            roles::create_role(&caller.acting(view), &typed.name, grants.clone()).await
        })
        .await;
    match made {
        Ok(_) => Ok(done_at(HERE, "role-made")),
        Err(failure) => {
            let refusal = Refusal::of(failure)?;
            let status = refusal.status;
            Ok(new_page(&reader, &typed, &Wrong::of(refusal), status))
        }
    }
}

/// Reads a role, for whoever may do the act.
async fn load<A: OwnAction>(caller: &Caller, name: &str) -> Result<RoleRecord, Failure> {
    caller
        .observe(A::line().event, target(), async |view| {
            let acting = caller.acting(view);
            acting.authorize::<A>(target())?;
            roles::show_role(&acting, name).await
        })
        .await
}

/// Shows a role, to be changed by whoever may and owes no code.
///
/// # Errors
/// [`Failure`]: 404 for a role there is not, or a built-in one.
pub async fn show(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(ListRoles::line().event, target());
    no_query(&request)?;
    let role = load::<ListRoles>(&caller, &path).await?;
    let reader = Reader::new(&caller, &request)?;
    let typed = reader.kept.as_ref().map_or_else(|| Typed::of(&role, &reader.texts.roles), Typed::sent);
    Ok(role_page(&reader, &role, &typed, &Wrong::default(), None, StatusCode::OK))
}

/// Shows a role to be changed; first where a code is shown, for those who owe one.
///
/// # Errors
/// [`Failure`].
pub async fn edit(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(ChangeRole::line().event, target());
    no_query(&request)?;
    if let Some(first) = code_first::<ChangeRole>(&caller, &request).await? {
        return Ok(first);
    }
    // Whoever may only look, looks: this is where a role that is called as the page beside it is.
    let role = load::<ListRoles>(&caller, &path).await?;
    let reader = Reader::new(&caller, &request)?;
    let typed = reader.kept.as_ref().map_or_else(|| Typed::of(&role, &reader.texts.roles), Typed::sent);
    Ok(role_page(&reader, &role, &typed, &Wrong::default(), None, StatusCode::OK))
}

/// Changes a role.
///
/// # Errors
/// [`Failure`].
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleChange, target());
    no_query(&request)?;
    form.only(&["name", "more"], &["grant"])?;
    keep(&request, &form, &["name", "more", "grant"]);
    let reader = Reader::new(&caller, &request)?;
    let typed = Typed::sent(&form);
    let (wrong, status) = match typed.grants(&reader.texts.roles) {
        Err(wrong) => {
            refused::<ChangeRole>(&caller, target().named(&*path), "invalid_permission").await?;
            (wrong, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Ok(grants) => {
            let done = caller
                .act(Event::RoleChange, target(), async |view| {
                    let name = (typed.name != *path).then(|| typed.name.clone());
                    let change = RoleChange { name, grants: Some(grants.clone()) };
                    roles::change_role(&caller.acting(view), &path, change).await
                })
                .await;
            match done {
                Ok(()) => return Ok(done_at(&address(&typed.name), "role-changed")),
                Err(failure) => {
                    let refusal = Refusal::of(failure)?;
                    let status = refusal.status;
                    (Wrong::of(refusal), status)
                }
            }
        }
    };
    let role = load::<ListRoles>(&caller, &path).await?;
    let reader = Reader::new(&caller, &request)?;
    Ok(role_page(&reader, &role, &typed, &wrong, None, status))
}

/// Shows the dialog that deletes a role.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_delete(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(DeleteRole::line().event, target());
    no_query(&request)?;
    if let Some(first) = code_first::<DeleteRole>(&caller, &request).await? {
        return Ok(first);
    }
    let role = load::<DeleteRole>(&caller, &path).await?;
    let reader = Reader::new(&caller, &request)?;
    Ok(delete_page(&reader, &role, None))
}

/// Deletes a role.
///
/// # Errors
/// [`Failure`].
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleDelete, target());
    no_query(&request)?;
    form.only(&[], &[])?;
    let done = caller
        .act(Event::RoleDelete, target(), async |view| roles::delete_role(&caller.acting(view), &path).await)
        .await;
    match done {
        Ok(()) => Ok(done_at(HERE, "role-deleted")),
        Err(failure) => {
            let refusal = Refusal::of(failure)?;
            let role = load::<ListRoles>(&caller, &path).await?;
            let reader = Reader::new(&caller, &request)?;
            Ok(delete_page(&reader, &role, Some(&refusal)))
        }
    }
}

fn delete_page(reader: &Reader, role: &RoleRecord, refusal: Option<&Refusal>) -> HttpResponse {
    let t = &reader.texts.roles;
    let who = match role.users {
        0 => t.delete_none.to_owned(),
        1 => t.delete_one.to_owned(),
        many => said(t.delete_many, many),
    };
    let dialog = Dialog {
        title: &said(t.delete_title, &role.name),
        lead: html! { (who) " " (t.delete_final) },
        fields: html! { @if let Some(refusal) = refusal { (parts::alert(&refusal.words)) } },
        action: &format!("{HERE}/{}/delete", role.name),
        cancel: &address(&role.name),
        button: t.delete_role,
        busy: t.deleting,
        danger: true,
    }
    .markup(reader);
    let status = refusal.map_or(StatusCode::OK, |refusal| refusal.status);
    role_page(reader, role, &Typed::of(role, t), &Wrong::default(), Some(dialog), status)
}

fn new_page(reader: &Reader, typed: &Typed, wrong: &Wrong, status: StatusCode) -> HttpResponse {
    let t = &reader.texts.roles;
    Page {
        reader,
        place: Place::Roles,
        title: t.new,
        over: html! { a href=(HERE) { (t.title) } },
        about: html! { (t.new_about) },
        actions: html! {},
        main: form(reader, &format!("{HERE}/new"), typed, wrong, Some([t.make, t.making])),
        dialog: None,
        status,
    }
    .answer()
}

fn role_page(
    reader: &Reader,
    role: &RoleRecord,
    typed: &Typed,
    wrong: &Wrong,
    dialog: Option<Markup>,
    status: StatusCode,
) -> HttpResponse {
    let t = &reader.texts.roles;
    let may = reader.may::<ChangeRole>();
    let owes = reader.owes_code::<ChangeRole>();
    Page {
        reader,
        place: Place::Roles,
        title: &role.name,
        over: html! { a href=(HERE) { (t.title) } },
        about: html! {
            @match role.users {
                0 => (t.held_by_none),
                1 => (t.held_by_one),
                many => (said(t.held_by, many)),
            }
        },
        actions: html! {
            // The code is asked for before anything is ticked.
            @if may && owes { a.btn href={ (HERE) "/" (role.name) "/edit" } { (t.change) } }
            @if reader.may::<DeleteRole>() {
                a.btn.risky href={ (HERE) "/" (role.name) "/delete" } { (t.delete_role) }
            }
        },
        main: form(reader, &address(&role.name), typed, wrong, (may && !owes).then_some([t.save, t.saving])),
        dialog,
        status,
    }
    .answer()
}
