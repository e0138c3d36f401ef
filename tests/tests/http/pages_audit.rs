//! The pages of Settings, Audit Logs: filters that stay as the pages are turned, and the export with what it will hold.

use crate::pages_lists::next_of;
use kv_tests::{Answer, Backend, Key, TestApp, between, on_both};

on_both!(
    entries_are_found_by_time_and_key,
    an_export_tells_how_much_it_holds_and_when_it_has_begun,
    the_log_is_for_those_who_may_read_it,
);

const LOG: &str = "/settings/audit-logs";
const EXPORT: &str = "/settings/audit-logs/export";
/// 2026-01-15T12:00:00Z, in microseconds.
const NOON: i64 = 1_768_478_400_000_000;

/// Sixty entries of one key, all at noon of a day, and three of another one, now.
async fn with_entries(backend: Backend) -> (TestApp, Key) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let other = app.key(&session, "other").await;
    for (key, times) in [(&key, 60), (&other, 3)] {
        for _ in 0..times {
            app.get("/api/v1/api-keys/current").key(key).send().await.expect(200);
        }
    }
    app.database.execute(&format!("UPDATE audit_entries SET at = {NOON} WHERE agent = 'ci'"));
    (app, key)
}

/// The entries of a page.
fn entries(page: &Answer) -> usize {
    page.text().matches("<td class=\"nowrap\" data-label=\"Time\">").count()
}

async fn entries_are_found_by_time_and_key(backend: Backend) {
    let (app, key) = with_entries(backend).await;
    let mut admin = app.browser("admin").await;
    let page = admin.get(&format!("{LOG}?key_id={}", key.id)).await.expect(200);
    assert_eq!(entries(&page), 0, "not in the last day");
    let between_times = "from=2026-01-15T12%3A00&until=2026-01-15T12%3A00%3A01";
    let page = admin.get(&format!("{LOG}?key_id={}&since=hour&{between_times}", key.id)).await.expect(200);
    assert_eq!(entries(&page), 50, "times that are given count, whatever the period is");
    let text = page.text();
    for shown in
        ["value=\"2026-01-15T12:00\"", "value=\"2026-01-15T12:00:01\"", "value=\"range\" selected", "From (UTC)"]
    {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(text.contains(&format!("name=\"key_id\" value=\"{}\"", key.id)));
    let next = next_of(&page).unwrap();
    for kept in ["from=2026-01-15T12%3A00&", "until=2026-01-15T12%3A00%3A01", &format!("key_id={}", key.id)] {
        assert!(next.contains(kept), "{next}");
    }
    let last = admin.get(&next).await.expect(200);
    assert_eq!((entries(&last), next_of(&last)), (10, None));
    let found = async |times: &str| {
        let page = app.browser("admin").await.get(&format!("{LOG}?agent=ci&{times}")).await.expect(200);
        entries(&page)
    };
    assert_eq!(found("until=2026-01-15T12:00").await, 0, "the end is not included");
    assert_eq!(found("from=2026-01-15T12:00:01").await, 0);
    assert_eq!(found("from=2026-01-15&until=2026-01-16").await, 50);
    assert_eq!(found("from=2026-01-15T13%3A00%3A00%2B01%3A00").await, 50, "another zone, where it says so");
    assert_eq!(found("from=2026-01-15T13%3A00%3A01%2B01%3A00").await, 0);
    for (field, wrong) in [("from", "from=yesterday"), ("until", "until=2026-02-30"), ("key_id", "key_id=kv_live_x")] {
        let page = admin.get(&format!("{LOG}?{wrong}")).await.expect(400).text();
        let (_, rest) = page.split_once(&format!("name=\"{field}\"")).unwrap();
        assert!(rest.split('>').next().unwrap().contains("aria-invalid=\"true\""), "{wrong}");
        assert!(page.contains("<title>Error: Audit Logs") && !page.contains(EXPORT), "{wrong}");
    }
    // From a key there is a way to what it did.
    app.user("root", "admin").await;
    let root = app.login("root").await;
    let roots = app.key(&root, "of-root").await;
    app.get("/api/v1/api-keys/current").key(&roots).send().await.expect(200);
    let mut root = app.browser("root").await;
    let table = root.get("/profile/api-keys").await.expect(200).text();
    let way = between(&table, "href=\"/settings/audit-logs?", "\"").remove(0).replace("&amp;", "&");
    assert_eq!(way, format!("since=ever&key_id={}", roots.id));
    assert_eq!(entries(&root.get(&format!("{LOG}?{way}")).await.expect(200)), 1);
    let anns = app.browser("ann").await.get("/profile/api-keys").await.expect(200).text();
    assert!(!anns.contains(LOG), "nobody is led to where they may not look");
}

async fn an_export_tells_how_much_it_holds_and_when_it_has_begun(backend: Backend) {
    let (app, key) = with_entries(backend).await;
    let mut admin = app.browser("admin").await;
    let chosen = format!("key_id={}&from=2026-01-15&until=2026-01-16", key.id);
    let page = admin.get(&format!("{LOG}?{chosen}")).await.expect(200).text();
    let way = between(&page, &format!("href=\"{EXPORT}?"), "\"").remove(0).replace("&amp;", "&");
    let dialog = admin.get(&format!("{EXPORT}?{way}")).await.expect(200).text();
    assert!(dialog.contains("60 entries match.") && dialog.contains("data-modal"), "{dialog}");
    assert!(dialog.contains("<title>Export the audit log"), "{dialog}");
    let ways = between(&dialog, &format!("href=\"{EXPORT}?"), "\"");
    let ways: Vec<_> = ways.iter().filter(|way| way.contains("format=")).map(|way| way.replace("&amp;", "&")).collect();
    assert_eq!(ways.len(), 2, "{ways:?}");
    for (way, lines) in ways.iter().zip([60, 61]) {
        let file = admin.get(&format!("{EXPORT}?{way}")).await.expect(200);
        assert!(file.header("content-disposition").starts_with("attachment"));
        assert_eq!(file.text().lines().count(), lines, "{way}");
        assert_eq!(file.header("set-cookie"), "", "nobody waits for it");
    }
    let asked = format!("{EXPORT}?{}&download=abc-1", ways[1]);
    let cookie = admin.get(&asked).await.expect(200).header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-kv_begun=abc-1;") && !cookie.contains("HttpOnly"), "{cookie}");
    assert!(cookie.contains("Secure") && cookie.contains("SameSite=Lax") && cookie.contains("Max-Age=60"), "{cookie}");
    for wrong in ["download=a%3Bb&format=csv", "format=xml", "format=csv&from=x", "cursor=x&format=csv"] {
        admin.get(&format!("{EXPORT}?{wrong}")).await.expect(400);
    }
    let nothing = admin.get(&format!("{EXPORT}?user=nobody")).await.expect(200).text();
    assert!(nothing.contains("No entry matches;"));
    admin.get(&format!("{EXPORT}?from=x")).await.expect(400);
    admin.get(&format!("{LOG}?format=csv")).await.expect(400);

    // A long log is not counted to its end.
    let id = match backend {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "decode(md5(n::text), 'hex')",
    };
    app.database.execute(&format!(
        "INSERT INTO audit_entries (id, at, user_name, agent, action, resource, user_agent, request_id, count, detail) \
         WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000) \
         SELECT {id}, {NOON}, 'many', 'x', 'auth.login', 'sessions', '', '', 1, '{{}}' FROM numbers"
    ));
    let many = admin.get(&format!("{EXPORT}?user=many&since=ever")).await.expect(200).text();
    assert!(many.contains("More than 10000 entries match."), "{many}");
    let unknown = admin.get(&format!("{EXPORT}?user=many&since=ever&outcome=succeeded")).await.expect(200).text();
    assert!(unknown.contains("No entry matches;"), "their outcome is not known");
}

async fn the_log_is_for_those_who_may_read_it(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    for address in [LOG.to_owned(), EXPORT.to_owned(), format!("{EXPORT}?format=csv"), format!("{LOG}?from=x")] {
        let refused = ann.get(&address).await.expect(403);
        assert!(!refused.text().contains("entries match"), "{address}");
        assert_eq!(app.entry_of(&refused).await["outcome"], "denied", "{address}");
    }
}
