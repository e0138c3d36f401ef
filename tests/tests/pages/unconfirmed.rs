//! What is not confirmed is not said to be done.

use super::world::{open, sign_in};
use kv_tests::{Backend, browser::Look, run};

/// Without a browser it is asked of both databases.
#[test]
fn attack_204_not_confirmed_is_said() {
    run(async {
        let (app, browser) = open(Backend::Postgres, Look::DESK).await;
        let admin = app.admin().await;
        app.key(&admin, "deploy").await;
        sign_in(&browser, "admin").await;
        browser.goto("/profile/api-keys").await;
        browser.click("td.do a").await;
        browser.await_text("Revoke deploy?").await;
        app.database.shut_out();
        browser.click_text("Revoke key").await;
        browser.await_text("Not confirmed").await;
        assert!(!browser.shows("The key is revoked.").await);
        app.database.admit_again();
    });
}
