//! The lists of Settings, Users, page by page.

use crate::pages_users::{administrator, leads_to, links, page_of};
use kv_tests::{Backend, PASSWORD, TestApp, on_both};
use serde_json::json;

on_both!(sessions_of_others_are_on_pages);

async fn sessions_of_others_are_on_pages(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let ann = app.user("ann", "dev").await;
    let mut first = app.browser("ann").await;
    let body = json!({"username": "ann", "password": PASSWORD});
    for n in 0..50 {
        // One address may not sign in that often.
        let login = app.post("/api/v1/auth/login").header("x-forwarded-for", format!("10.0.0.{n}"));
        login.json(&body).send().await.expect(200);
    }
    let mut admin = administrator(&app).await;
    let page = page_of(&ann);
    let shown = admin.get(&page).await.expect(200);
    assert_eq!(links(&shown, "/end").len(), 51, "fifty of them, and all");
    let next = links(&shown, "#sessions").remove(0);
    assert!(next.starts_with(&format!("{page}/sessions?cursor=")), "{next}");
    let last = admin.get(next.strip_suffix("#sessions").unwrap()).await.expect(200);
    let ends = links(&last, "/end");
    assert_eq!((ends.len(), links(&last, "#sessions")), (2, vec![format!("{page}#sessions")]), "{ends:?}");
    // It is found from there.
    let oldest = ends.iter().find(|link| !link.ends_with("/sessions/end")).unwrap();
    assert!(admin.get(oldest).await.expect(200).text().contains("End a session of ann?"));
    admin.submit(oldest, &[]).await.expect(303);
    assert!(leads_to(&first.get("/profile/api-keys").await).starts_with("/sign-in"));
    for wrong in ["cursor=x", "cursor=&state=live", "state=live"] {
        admin.get(&format!("{page}/sessions?{wrong}")).await.expect(400);
    }
}
