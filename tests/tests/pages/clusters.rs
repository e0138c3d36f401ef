//! Settings, Clusters, and the work in one, in a browser: a real cluster is added by its kubeconfig and by its address, found
//! well, changed and removed; a workload is scaled and restarted.

use super::{
    person::{Person, Way, three_ways},
    world::{kubeconfig, with_cluster},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use kv_tests::between;

three_ways!(a_cluster_comes_and_goes, a_workload_is_scaled_and_restarted);

const SETTINGS: &str = "/settings/clusters";

async fn a_cluster_comes_and_goes(way: Way) {
    let person = Person::meet_admin(way).await;
    let (app, browser) = (&person.app, &person.browser);
    let file = std::fs::read_to_string(kubeconfig()).unwrap();
    let in_file =
        |before: &str, after: &str| between(&file, before, after).remove(0).trim_matches(['"', ' ']).to_owned();
    let ca = BASE64_STANDARD.decode(in_file("certificate-authority-data: ", "\n")).unwrap();
    let (server, token) = (in_file("server: ", "\n"), in_file("token: ", "\n"));

    browser.goto(SETTINGS).await;
    person.follow_in(".head", "Add cluster").await;
    browser.await_path("/settings/clusters/new").await;
    person.fill("Name", "prod").await;
    person.paste("Kubeconfig", &file).await;
    person.follow_in("dialog", "Add cluster").await;
    browser.await_text("The cluster is added.").await;
    browser.holds_nothing_of(&token).await;
    see_it_well(&person, 1).await;

    person.follow_in(".head", "Add cluster").await;
    person.fill("Name", "edge").await;
    person.pick("Kubeconfig file", "Address and token").await;
    person.fill("Server", &server).await;
    person.paste("Token", "not the token").await;
    person.paste("Certificate authority", std::str::from_utf8(&ca).unwrap()).await;
    person.follow_in("dialog", "Add cluster").await;
    browser.await_css("#token-error").await;
    assert_eq!(browser.value("server").await, server, "what was typed is still there");
    person.paste("Token", &token).await;
    person.follow_in("dialog", "Add cluster").await;
    browser.await_text("The cluster is added.").await;
    browser.holds_nothing_of(&token).await;
    see_it_well(&person, 2).await;

    person.follow("Change edge").await;
    person.tick("Tell the cluster by impersonation who is calling").await;
    person.follow_in("dialog", "Save").await;
    browser.await_text("The cluster is saved.").await;
    let session = app.admin().await;
    let edge = app.get("/api/v1/clusters/edge").session(&session).send().await.expect(200).json();
    assert_eq!(edge["impersonate"], true, "{edge}");
    person.follow("Remove edge").await;
    browser.await_text("Remove edge?").await;
    person.leave().await;
    browser.await_path(SETTINGS).await;
    person.follow("Remove edge").await;
    person.follow_in("dialog", "Remove").await;
    browser.await_text("The cluster is removed.").await;
    app.get("/api/v1/clusters/edge").session(&session).send().await.expect(404);
    // A token that was refused is the one answer that browsers count among errors.
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("400")), "{errors:?}");
}

/// Each of so many clusters is well: the page says so by itself, or each has a page that does.
async fn see_it_well(person: &Person, clusters: usize) {
    let browser = &person.browser;
    if person.way == Way::Plain {
        browser.click_text_in("tbody tr:first-child", "Check").await;
        browser.await_css(".pill.ok").await;
        person.follow("Check again").await;
        browser.await_css(".pill.ok").await;
        return browser.goto(SETTINGS).await;
    }
    browser.await_css(&format!("tr:nth-child({clusters}) .pill.ok")).await;
    assert!(!browser.shows("not healthy").await);
}

async fn a_workload_is_scaled_and_restarted(way: Way) {
    let person = Person::meet(way, &[]).await;
    let (app, browser) = (&person.app, &person.browser);
    let namespace = with_cluster(app, &format!("pages-{way:?}").to_lowercase()).await;
    super::world::sign_in(browser, "admin").await;
    person.follow("prod").await;
    browser.await_text("Active").await;
    person.follow(&namespace).await;
    browser.await_text("api-server").await;
    person.fill("Replicas of api-server", "3").await;
    person.follow("Scale api-server").await;
    browser.await_text("The cluster was told.").await;
    let admin = app.admin().await;
    let path = format!("/api/v1/clusters/prod/namespaces/{namespace}/deployments/api-server");
    let seen = app.get(&path).session(&admin).send().await.expect(200).json();
    assert_eq!(seen["spec"]["replicas"], 3);
    person.follow("Restart api-server").await;
    browser.await_text("Restart api-server?").await;
    person.leave().await;
    browser.await_text("What runs in this namespace.").await;
    person.follow("Restart api-server").await;
    person.follow_in("dialog", "Restart").await;
    browser.await_text("The restart has begun.").await;
    let seen = app.get(&path).session(&admin).send().await.expect(200).json();
    assert!(seen["spec"]["template"]["metadata"]["annotations"].is_object(), "{seen}");
    for action in ["kubernetes.patch", "kubernetes.restart"] {
        let entry = &app.audit(&format!("action={action}")).await[0];
        assert_eq!((entry["user"].as_str(), entry["agent"].as_str()), (Some("admin"), Some("web")), "{entry}");
    }
    // A namespace that is not there is no page.
    browser.goto("/clusters/prod/namespaces/there-is-none").await;
    browser.await_text("There is no such page").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
