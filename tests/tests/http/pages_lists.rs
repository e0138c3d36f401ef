//! The lists of Settings, Users: looked through by name, in order, page by page.

use crate::pages_users::{administrator, leads_to, links, page_of};
use kv_tests::{Answer, Backend, PASSWORD, TestApp, between, on_both};
use serde_json::{Value, json};

on_both!(users_are_found_by_how_their_names_begin, sessions_of_others_are_on_pages);

/// Where the next page is.
pub(crate) fn next_of(page: &Answer) -> Option<String> {
    let text = page.text();
    let (before, _) = text.split_once("\" rel=\"next\"")?;
    before.rsplit("href=\"").next().map(|link| link.replace("&amp;", "&"))
}

async fn users_are_found_by_how_their_names_begin(backend: Backend) {
    let app = TestApp::start(backend).await;
    let session = app.admin().await;
    for n in (0..120).rev() {
        let body = json!({"name": format!("ci-{n:03}"), "role": "dev"});
        app.post("/api/v1/users").session(&session).json(&body).send().await.expect(201);
    }
    app.user("Cilla & co", "dev").await;
    let mut admin = app.browser("admin").await;
    let names = |page: &Answer| -> Vec<String> {
        let rows = between(&page.text(), "<th scope=\"row\"><a href=\"/settings/users/", "</a>");
        rows.iter().filter_map(|row| row.split_once('>')).map(|(_, name)| name.to_owned()).collect()
    };
    // Page by page, with what was looked for.
    let (mut seen, mut address) = (Vec::new(), "/settings/users?name_prefix=+CI-".to_owned());
    let mut pages = 0;
    loop {
        let page = admin.get(&address).await.expect(200);
        seen.extend(names(&page));
        pages += 1;
        assert!(page.text().contains("value=\"CI-\""), "what was looked for stands in its field");
        assert_eq!(page.text().contains("First page"), pages > 1);
        let Some(next) = next_of(&page) else { break };
        address = next;
        assert!(address.starts_with("/settings/users?name_prefix=CI-&cursor="), "{address}");
    }
    let all: Vec<String> = (0..120).map(|n| format!("ci-{n:03}")).collect();
    assert_eq!((pages, seen), (3, all));
    let found = admin.get("/settings/users?name_prefix=cilla+%26").await.expect(200);
    assert_eq!(names(&found), ["Cilla &amp; co"]);
    assert_eq!(names(&admin.get("/settings/users").await.expect(200))[0], "admin", "by name");
    let none = admin.get("/settings/users?name_prefix=%3Cb%3E").await.expect(200).text();
    assert!(none.contains("No name begins with &lt;b&gt;.") && none.contains("All users"));
    admin.get("/settings/users?name=ci").await.expect(400);

    // The same by REST.
    let list = async |query: &str| app.get(&format!("/api/v1/users?{query}")).session(&session).send().await;
    let first = list("name_prefix=ci-&limit=100").await.expect(200).json();
    let next = first["next_cursor"].as_str().unwrap();
    let second = list(&format!("name_prefix=ci-&limit=100&cursor={next}")).await.expect(200).json();
    let names = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&first).len(), names(&second).len(), &second["next_cursor"]), (100, 20, &Value::Null));
    assert_eq!(names(&second)[0], "ci-100");
    assert!(names(&list("name_prefix=i-").await.expect(200).json()).is_empty());
    for wrong in ["prefix=ci", "name_prefix=a&name_prefix=b", "name_prefix=ci&cursor=ci-100"] {
        list(wrong).await.expect(400);
    }
}

async fn sessions_of_others_are_on_pages(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let ann = app.user("ann", "dev").await;
    let mut first = app.browser("ann").await;
    let body = serde_json::json!({"username": "ann", "password": PASSWORD});
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
