//! What the other tests here stand on: that each look is what the page sees, and that each judge finds what is bad and leaves
//! alone what is good. Never here: a page of the server's, but to see that it can be reached.

use futures_util::FutureExt;
use kv_tests::{
    Backend, TestApp,
    browser::{Browser, Key, Look},
    run, until,
};
use serde_json::json;
use std::{fs, panic::AssertUnwindSafe, path::Path, time::Duration};

/// A page of these elements.
fn page(body: &str) -> String {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Page</title>\
         <body>{body}"
    );
    format!("data:text/html;charset=utf-8,{}", html.replace('%', "%25").replace('#', "%23").replace('\n', "%0A"))
}

/// What a demand that is not met says.
async fn refused(demand: impl Future<Output = ()>) -> String {
    let panic = AssertUnwindSafe(demand).catch_unwind().await.expect_err("it was content");
    *panic.downcast::<String>().expect("words")
}

/// Whether any process was told this folder.
fn in_use(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        fs::read(process.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&folder))
    })
}

#[test]
fn it_opens_a_server_and_is_gone_afterwards_with_all_it_kept() {
    run(async {
        let app = TestApp::start(Backend::Sqlite).await;
        let browser = Browser::open(Look::DESK).await.at(app.address());
        browser.goto("/healthz").await;
        assert_eq!(browser.path().await, "/healthz");
        let document = browser.document(Some("/healthz")).await;
        assert_eq!((document.status, document.header("Cache-Control")), (200, Some("no-store")));
        assert!(document.bytes > 50, "{document:?}");

        let picture = fs::read(browser.screenshot("harness-healthz").await).unwrap();
        assert_eq!((&picture[1..4], &picture[16..24]), (&b"PNG"[..], &[0, 0, 5, 0, 0, 0, 3, 32][..]), "1280 × 800");

        let folder = browser.folder().to_owned();
        assert!(in_use(&folder) && folder.exists());
        drop(browser);
        assert!(!in_use(&folder) && !folder.exists());
    });
}

#[test]
fn it_is_gone_after_a_panic_too() {
    run(async {
        let browser = Browser::open(Look::DESK).await;
        let folder = browser.folder().to_owned();
        let failed = tokio::spawn(async move {
            browser.goto("about:blank").await;
            panic!("as a test that fails");
        });
        assert!(failed.await.unwrap_err().is_panic());
        until("it is gone", || !in_use(&folder) && !folder.exists()).await;
    });
}

#[test]
fn it_takes_and_sends_cookies_that_need_a_trusted_address() {
    run(async {
        let app = TestApp::start(Backend::Sqlite).await;
        let browser = Browser::open(Look::DESK).await.at(app.address());
        browser.goto("/sign-in").await;
        let cookies = browser.cookies().await;
        let host = cookies.iter().find(|cookie| cookie.name().starts_with("__Host-"));
        let host = host.unwrap_or_else(|| panic!("no such cookie among {cookies:?}"));
        assert!(host.secure().unwrap() && host.http_only().unwrap() && host.path() == Some("/"), "{host:?}");
        let before = host.value().to_owned();
        // Sent back, or another would be given.
        browser.reload().await;
        assert!(browser.cookies().await.iter().any(|cookie| cookie.value() == before));
        browser.forget_cookies().await;
        browser.reload().await;
        assert!(browser.cookies().await.iter().all(|cookie| cookie.value() != before));
    });
}

#[test]
fn each_look_is_what_the_page_sees() {
    const ASK: &str = "
        const is = query => matchMedia(query).matches;
        return [is('(prefers-color-scheme: dark)'), innerWidth, innerHeight, is('(prefers-reduced-motion: reduce)'),
            Intl.DateTimeFormat().resolvedOptions().timeZone];
    ";
    run(async {
        let browser = Browser::open(Look::DESK).await;
        browser.travel("Asia/Tokyo").await;
        let told = page(
            "<p id=told>by nobody</p><noscript><p>without scripts</p></noscript><script>told.textContent = 'by a script'</script>",
        );
        for (look, dark, width, height) in
            [(Look::DESK, false, 1280, 800), (Look::DARK, true, 1280, 800), (Look::PHONE, false, 320, 640)]
        {
            browser.wear(look).await;
            browser.goto(&told).await;
            assert_eq!(browser.run(ASK, &[]).await, json!([dark, width, height, false, "Asia/Tokyo"]), "{look:?}");
            assert_eq!((browser.text("#told").await.as_str(), browser.has("noscript p").await), ("by a script", false));
        }
        browser.wear(Look::DESK.without_javascript()).await;
        browser.goto(&told).await;
        assert_eq!((browser.text("#told").await.as_str(), browser.has("noscript p").await), ("by nobody", true));
        browser.wear(Look::DESK).await;
        browser.goto(&told).await;
        assert_eq!(browser.text("#told").await, "by a script");
        browser.prefers(&[("prefers-reduced-motion", "reduce")]).await;
        assert_eq!(browser.run(ASK, &[]).await[3], true);
    });
}

#[test]
fn hands_reach_what_people_reach() {
    run(async {
        let form = "
            <style>* { outline: none } :focus { outline: 2px solid blue } .bare:focus { outline: none }</style>
            <form><label for=n>Your name</label><input id=n name=name value=before><input name=token type=hidden value=t>
            <label>Day<input type=date name=day></label>
            <label for=c>Colour</label><select id=c name=colour><option value=r>Red<option value=b>Blue</select>
            <button type=button onclick=\"this.form.name.value += '!'\">Add <b>one</b></button><button hidden>Add one</button></form>
            <a href='about:blank'>Away</a><a class=bare href='about:blank'>Bare</a>";
        let browser = Browser::open(Look::DESK).await;
        browser.goto(&page(form)).await;
        browser.fill("Your name", "ann-marie").await;
        browser.click_text("Add one").await;
        assert_eq!(browser.value("name").await, "ann-marie!");
        browser.fill("Day", "2027-03-04").await;
        assert_eq!(browser.value("day").await, "2027-03-04");
        browser.choose("Colour", "Blue").await;
        assert_eq!(browser.value("colour").await, "b");

        browser.goto(&page(form)).await;
        assert_eq!(browser.focused().await, "");
        browser.tab_to("Your name").await;
        browser.type_text("Ben é").await;
        browser.tab_to("Add one").await;
        browser.press(Key::Enter).await;
        assert_eq!(browser.value("name").await, "Ben é!");
        browser.press_together(&[Key::Shift, Key::Tab]).await;
        assert_eq!(browser.focused().await, "Colour");
        browser.press(Key::Down).await;
        assert_eq!(browser.value("colour").await, "b");
        browser.tab_to("Away").await;
        let said = refused(browser.tab_to("Bare")).await;
        assert!(said.contains("\"Bare\" looks as if it had no focus"), "{said}");
        let said = refused(browser.tab_to("There is none")).await;
        assert!(said.contains("looks as if it had no focus") || said.contains("does not lead to"), "{said}");
        let browser = browser.patient_for(Duration::from_millis(200));
        let said = refused(browser.click_text("There is none")).await;
        assert!(said.contains("there are 0"), "{said}");
    });
}

#[test]
fn axe_finds_what_is_bad_and_nothing_in_what_is_good() {
    run(async {
        let browser = Browser::open(Look::DESK).await;
        browser
            .goto(&page("<main><h1>Keys</h1><label for=n>Name</label><input id=n><button>Make</button></main>"))
            .await;
        assert_eq!(browser.axe().await, [""; 0]);
        browser.inspect("harness-good").await;
        browser.goto(&page("<main><h1>Keys</h1><input><button></button><p style='color:#ccc'>Pale</p></main>")).await;
        let found = browser.axe().await;
        for rule in ["label (critical)", "button-name (critical)", "color-contrast (serious)"] {
            assert!(found.iter().any(|text| text.starts_with(rule)), "{rule}: {found:#?}");
        }
        let said = refused(browser.inspect("harness-bad")).await;
        assert!(
            said.contains("light: label") && said.contains("dark: label") && said.contains("phone: label"),
            "{said}"
        );
        // Only one of both looks is bad.
        let pale = "<style>@media (prefers-color-scheme: dark) { p { color: #333; background: #222 } }</style>\
                    <main><h1>Keys</h1><p>Pale in the dark</p></main>";
        browser.goto(&page(pale)).await;
        assert_eq!(browser.axe().await, [""; 0]);
        browser.wear(Look::DARK).await;
        assert_eq!(browser.axe().await.len(), 1);
    });
}

#[test]
fn the_console_tells_errors_and_broken_policies() {
    run(async {
        let app = TestApp::start(Backend::Sqlite).await;
        let browser = Browser::open(Look::DESK).await.at(app.address());
        browser.goto(&page("<p>fine</p><script>console.log('fine too')</script>")).await;
        assert_eq!(browser.console_errors().await, [""; 0]);
        browser.goto(&page("<script>nobody.knows()</script>")).await;
        let told = browser.console_errors().await;
        assert!(matches!(told.as_slice(), [one] if one.contains("nobody is not defined")), "{told:?}");
        assert_eq!(browser.console_errors().await, [""; 0], "each is told once");

        let policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\"><script>1</script>";
        browser.goto(&page(policy)).await;
        let told = browser.console_errors().await;
        assert!(matches!(told.as_slice(), [one] if one.contains("Content Security Policy")), "{told:?}");

        // A page that tells of a refusal is one; a part of a page that is not there is an error.
        browser.goto("/api/v1/clusters").await;
        assert_eq!(browser.document(None).await.status, 401);
        assert_eq!(browser.console_errors().await, [""; 0]);
        let part = format!("<img alt='' src='http://{}/k8s/no-such-picture'>", app.address());
        browser.goto(&page(&part)).await;
        let told = browser.console_errors().await;
        assert!(told.iter().any(|text| text.contains("/k8s/no-such-picture")), "{told:?}");
    });
}

#[test]
fn what_is_too_wide_jumps_or_keeps_a_secret_is_found() {
    run(async {
        let browser = Browser::open(Look::PHONE).await;
        browser.goto(&page("<p>narrow</p>")).await;
        browser.no_horizontal_scroll().await;
        assert_eq!(browser.layout_shift().await, 0.0);
        browser.goto(&page("<p style='width: 400px'>wide</p>")).await;
        let said = refused(browser.no_horizontal_scroll()).await;
        assert!(said.contains(">wide</p> ends at 4"), "{said}");
        browser.goto("data:text/html,<p>no word about its width</p>").await;
        assert!(browser.sticks_out().await.concat().contains("viewport"));

        let jumps = "<p>one</p><script>requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
            const more = document.createElement('div'); more.style.height = '300px'; document.body.prepend(more);
            more.id = 'more';
        }, 20)))</script>";
        browser.goto(&page(jumps)).await;
        browser.await_css("#more").await;
        assert!(browser.layout_shift().await > 0.0);

        let secret = "kv_live_secret";
        browser.goto(&page("<p>nothing</p>")).await;
        browser.holds_nothing_of(secret).await;
        for bad in
            [format!("<p hidden>{secret}</p>"), "<script>window.name = 'kv_live_' + 'secret'</script>".to_owned()]
        {
            browser.goto(&page(&bad)).await;
            let said = refused(browser.holds_nothing_of(secret)).await;
            assert!(said.contains("has \"kv_live_secret\" in it"), "{said}");
        }
        browser.run("window.name = ''", &[]).await;

        assert_eq!(browser.alerted().await, None);
        browser.goto(&page("<button onclick=\"alert('boo')\">Alarm</button>")).await;
        browser.click_text("Alarm").await;
        assert_eq!(browser.alerted().await.as_deref(), Some("boo"));
    });
}
