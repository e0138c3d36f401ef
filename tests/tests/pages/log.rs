//! Settings, Audit Logs, in a browser: filtered, leafed through, one entry looked at, and exported.

use super::person::{Person, Way, three_ways};
use kv_tests::until;

three_ways!(the_log_is_searched_and_taken_away);

async fn the_log_is_searched_and_taken_away(way: Way) {
    let person = Person::meet_admin(way).await;
    let (app, browser) = (&person.app, &person.browser);
    let (_, _, key) = app.someone("dana", "dev", None).await;
    for _ in 0..60 {
        app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    }
    let rows = async || browser.texts("tbody tr").await.len();
    person.follow("Audit Logs").await;
    browser.await_path("/settings/audit-logs").await;
    person.fill("User", "dana").await;
    person.fill("Resource", "clusters").await;
    person.choose("Outcome", "succeeded").await;
    person.follow("Apply").await;
    browser.await_css("input[name=user][value=dana]").await;
    let first = browser.path().await;
    assert!(["user=dana", "resource=clusters", "outcome=succeeded"].iter().all(|pair| first.contains(pair)), "{first}");
    assert_eq!(rows().await, 50);
    person.follow("Older").await;
    browser.await_css("[rel=first]").await;
    assert_eq!(rows().await, 10);
    person.follow("Newest").await;
    browser.await_css("[rel=next]").await;
    browser.back().await;
    browser.await_css("[rel=first]").await;

    person.follow_first("tbody a").await;
    browser.await_text("More of this key").await;
    let entry = browser.text("dl").await;
    assert!(entry.contains("cluster.list") && entry.contains("dana") && entry.contains("succeeded"), "{entry}");
    person.follow("More of this key").await;
    browser.await_css("[rel=next]").await;
    assert!(browser.path().await.contains("key_id="));
    person.follow("Clear").await;
    browser.await_path("/settings/audit-logs").await;

    let folder = browser.keep_downloads().await;
    person.follow("Export…").await;
    browser.await_text("Export the audit log").await;
    for (name, file) in [("Download CSV", "audit-log.csv"), ("Download JSON Lines", "audit-log.jsonl")] {
        person.follow(name).await;
        let file = folder.join(file);
        let lines = || std::fs::read_to_string(&file).map_or(0, |text| text.matches("cluster.list").count());
        until("the export is there", || lines() == 60).await;
    }
    person.leave().await;
    browser.await_css("main:not([inert])").await;
    person.fill("User", "nobody").await;
    person.follow("Apply").await;
    browser.await_text("No entry matches.").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
