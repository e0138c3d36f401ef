//! The audit log exported, sealed, looked through and purged.

use kv_tests::{Backend, TestApp, on_both};
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    an_export_has_every_entry_and_no_formula,
    an_export_streams_page_by_page,
    an_export_ends_when_its_owner_loses_the_right_to_it,
    attack_228_an_entry_that_was_touched_is_found,
    what_is_over_is_deleted_and_the_rest_is_intact,
    unauthorised_exports_are_refused,
);

async fn an_export_has_every_entry_and_no_formula(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, _) = app.someone("ann", "dev", None).await;
    for name in ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "plain, with \"quotes\" and\u{a0}more"] {
        let key = app.key(&session, name).await;
        app.get("/api/v1/clusters").key(&key).header("user-agent", "=HYPERLINK(1)").send().await.expect(200);
    }
    let admin = app.admin().await;
    let export = |query: &str| app.get(&format!("/api/v1/audit-logs/export?{query}")).session(&admin).send();
    let csv = export("format=csv").await.expect(200);
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(csv.header("content-disposition").contains("audit-log.csv"));
    let text = csv.text();
    let mut lines = text.split("\r\n");
    assert!(lines.next().unwrap().starts_with("id,timestamp,user_id,user,agent,key_id,action,"));
    assert!(text.contains("'=cmd|' /C calc'!A0") && text.contains("\"plain, with \"\"quotes\"\""), "{text}");
    for cell in text.split(['\n', ',']) {
        let cell = cell.trim_start_matches('"');
        // A lone dash is a part of a name that was split here.
        let runs = cell.starts_with(['=', '+', '@']) || (cell.starts_with('-') && cell.len() > 1);
        assert!(!runs, "{cell}");
    }
    let jsonl = export("format=jsonl&user=ann").await.expect(200).text();
    let entries: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), app.audit("user=ann").await.len());
    assert!(entries.iter().all(|entry| entry["user"] == "ann"));
    assert!(entries.iter().any(|entry| entry["agent"] == "=cmd|' /C calc'!A0"), "JSON is as it was");
    for query in ["", "format=xml", "format=csv&limit=1", "format=csv&q=1", "format=csv&format=csv"] {
        export(query).await.expect(400);
    }
    app.get("/api/v1/audit-logs?format=csv").session(&admin).send().await.expect(400);
    app.outcomes_written().await;
    let entry = app.audit("action=audit.export&outcome=succeeded").await.remove(0);
    assert_eq!((&entry["user"], &entry["outcome"]), (&json!("admin"), &json!("succeeded")));
}

/// Entries slipped in behind the server's back, each with so many bytes of user agent.
pub(crate) fn seed(app: &TestApp, backend: Backend, entries: usize, bytes: usize) {
    let (id, agent) = match backend {
        Backend::Sqlite => ("randomblob(16)", format!("hex(zeroblob({}))", bytes / 2)),
        Backend::Postgres => ("decode(md5(n::text), 'hex')", format!("repeat('0', {bytes})")),
    };
    let numbers = match backend {
        Backend::Sqlite => {
            format!(
                "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {entries}) SELECT n FROM c"
            )
        }
        Backend::Postgres => format!("SELECT n FROM generate_series(1, {entries}) n"),
    };
    app.database.execute(&format!(
        "INSERT INTO audit_entries (id, at, user_name, agent, action, resource, user_agent, request_id, count, \
         status_code, outcome, detail) SELECT {id}, 1700000000000000 + n, 'seed', 'x', 'cluster.list', 'clusters', \
         {agent}, '', 1, 200, 'succeeded', '{{}}' FROM ({numbers}) s"
    ));
}

async fn an_export_ends_when_its_owner_loses_the_right_to_it(backend: Backend) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = TestApp::start(backend).await;
    // More than the buffers of a connection hold: what is not read is not asked for either.
    seed(&app, backend, 10_000, 4_000);
    // Other rights that still suffice do not break it off.
    for (name, role, whole) in [("ann", "admin", true), ("bob", "dev", false)] {
        let (user, session, _) = app.someone(name, "ops", None).await;
        let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
        let head = format!(
            "GET /api/v1/audit-logs/export?format=jsonl&user=seed HTTP/1.1\r\nHost: kv\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            session.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut heard = vec![0; 64 * 1024];
        stream.read_exact(&mut heard).await.unwrap();
        assert!(heard.starts_with(b"HTTP/1.1 200"));
        app.change(&user, &json!({"role": role})).await;
        // Whatever ends it, an error of the connection included.
        let _ = stream.read_to_end(&mut heard).await;
        // A few are not counted, where the slices of the answer part their text.
        let entries = String::from_utf8_lossy(&heard).matches("\"user\":\"seed\"").count();
        assert_eq!((entries > 9_000, heard.ends_with(b"0\r\n\r\n")), (whole, whole), "{name}: {entries} entries");
        app.outcomes_written().await;
        let of_this = app.audit(&format!("action=audit.export&user={name}")).await;
        assert_eq!(of_this.len(), 1, "{of_this:?}");
        let (outcome, status) = if whole { ("succeeded", 200) } else { ("denied", 403) };
        assert_eq!((&of_this[0]["outcome"], &of_this[0]["status_code"]), (&json!(outcome), &json!(status)));
    }
}

async fn an_export_streams_page_by_page(backend: Backend) {
    let app = TestApp::start(backend).await;
    let admin = app.admin().await;
    seed(&app, backend, 4_500, 0);
    let export = app.get("/api/v1/audit-logs/export?format=jsonl&user=seed").session(&admin).send().await.expect(200);
    assert_eq!(export.text().lines().count(), 4_500);
    assert_eq!(export.header("content-length"), "", "it is not gathered before it is sent");
}

async fn attack_228_an_entry_that_was_touched_is_found(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    for _ in 0..5 {
        app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    }
    app.revoke(&session, &key).await.expect(204);
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    let findings = || {
        let inside = app.inside().clone();
        async move {
            let until = inside.clock.now() + time::Duration::SECOND;
            let read = move || inside.store.verify_audit(inside.seal_key(), until, &|_| {});
            tokio::task::spawn_blocking(read).await.unwrap().unwrap().findings
        }
    };
    // Sealed within a second or two.
    for _ in 0..100 {
        if findings().await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(findings().await, [""; 0]);
    app.database.execute("UPDATE audit_entries SET outcome = 'succeeded', status_code = 200 WHERE outcome = 'denied'");
    let found = findings().await;
    assert!(found.len() == 1 && found[0].contains("was changed"), "{found:?}");
}

async fn what_is_over_is_deleted_and_the_rest_is_intact(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_AUDIT__RETENTION_DAYS", "30")]).await;
    let admin = app.admin().await;
    let old = match backend {
        Backend::Sqlite => "x'0180000000007000800000000000000",
        Backend::Postgres => "'\\x0180000000007000800000000000000",
    };
    for n in 0..5 {
        app.database.execute(&format!(
            "INSERT INTO audit_entries (id, at, user_name, agent, action, resource, user_agent, request_id, count, detail) \
             VALUES ({old}{n}', 1650000000000000, 'long ago', 'x', 'cluster.list', 'clusters', '', '', 1, '{{}}')"
        ));
    }
    let young = app.get("/api/v1/clusters").header("authorization", "ApiKey kv_live_x").send().await.expect(401);
    let inside = app.inside().clone();
    let mut deleted = 0;
    loop {
        let step = kv_server::operations::purge_audit::purge_audit(&inside).await.unwrap();
        if step.is_nothing() {
            break;
        }
        deleted += step.entries;
    }
    assert_eq!(deleted, 5);
    assert_eq!(app.audit("user=long%20ago").await.len(), 0);
    assert_eq!(app.entries_of(&young).await.len(), 1);
    let entry = app.audit("action=audit.purge").await.remove(0);
    assert_eq!((&entry["user"], &entry["outcome"]), (&json!("operator"), &json!("succeeded")));
    app.get("/api/v1/audit-logs").session(&admin).send().await.expect(200);
}

async fn unauthorised_exports_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let export = || app.get("/api/v1/audit-logs/export?format=csv");
    let refused = export().session(&session).send().await.expect(403).json();
    assert_eq!(refused["missing"], "audit:read");
    export().key(&key).send().await.expect(403);
    export().send().await.expect(401);
    let (_, _, ops) = app.someone("ops", "ops", None).await;
    export().key(&ops).send().await.expect(200);
}
