//! Somebody who uses the pages: by mouse, by keyboard alone, or with a browser that runs no scripts. A flow is written once and
//! gone through in each of the ways.
//!
//! Never here: what is done, or what is to be seen.

use super::world::sign_in;
use kv_tests::{
    Backend, TestApp,
    browser::{Browser, Key, Look},
};
use serde_json::json;

/// How they do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Mouse,
    /// Tab, Enter, Space, arrows and Escape. What a person would paste is pasted.
    Keyboard,
    /// By mouse, and no script runs.
    Plain,
}

/// Somebody, their browser, and the server.
pub(super) struct Person {
    pub(super) app: TestApp,
    pub(super) browser: Browser,
    pub(super) way: Way,
}

/// Each flow in each way. The databases take turns: what a page shows is the same on both.
macro_rules! three_ways {
    ($($flow:ident),+ $(,)?) => {
        $(mod $flow {
            use crate::person::Way;
            #[test]
            fn by_mouse() { kv_tests::run(super::$flow(Way::Mouse)); }
            #[test]
            fn by_keyboard() { kv_tests::run(super::$flow(Way::Keyboard)); }
            #[test]
            fn without_scripts() { kv_tests::run(super::$flow(Way::Plain)); }
        })+
    };
}
pub(super) use three_ways;

impl Person {
    /// Somebody with a browser on a server that has just begun.
    pub(super) async fn meet(way: Way, settings: &[(&str, &str)]) -> Self {
        let (backend, look) = match way {
            Way::Mouse => (Backend::Postgres, Look::DESK),
            Way::Keyboard => (Backend::Sqlite, Look::DESK),
            Way::Plain => (Backend::Sqlite, Look::DESK.without_javascript()),
        };
        let app = TestApp::with(backend, settings).await;
        let browser = Browser::open(look).await.at(app.address());
        Self { app, browser, way }
    }

    /// The administrator, signed in.
    pub(super) async fn meet_admin(way: Way) -> Self {
        let person = Self::meet(way, &[]).await;
        sign_in(&person.browser, "admin").await;
        person
    }

    /// The focus on what is called so.
    async fn reach(&self, name: &str) {
        if self.browser.focused().await != name {
            self.browser.tab_to(name).await;
        }
    }

    /// Follows a link, or presses a button, by its words.
    pub(super) async fn follow(&self, words: &str) {
        self.follow_in("body", words).await;
    }

    /// The same, where the words are on the page more than once. The keyboard comes to the first, or stays within a dialog.
    pub(super) async fn follow_in(&self, css: &str, words: &str) {
        if self.way != Way::Keyboard {
            return self.browser.click_text_in(css, words).await;
        }
        self.browser.await_words(css, words).await;
        self.reach(words).await;
        self.browser.press_focused().await;
    }

    /// Follows the first link that a selector names.
    pub(super) async fn follow_first(&self, css: &str) {
        if self.way != Way::Keyboard {
            return self.browser.click(css).await;
        }
        let words = self.browser.text(css).await;
        self.reach(&words).await;
        self.browser.press_focused().await;
    }

    /// Writes into a field, in place of what is there.
    pub(super) async fn fill(&self, field: &str, text: &str) {
        if self.way != Way::Keyboard {
            return self.browser.fill(field, text).await;
        }
        self.browser.await_field(field).await;
        self.reach(field).await;
        self.browser.select_all().await;
        self.browser.type_text(text).await;
    }

    /// Pastes into an empty field.
    pub(super) async fn paste(&self, field: &str, text: &str) {
        self.browser.await_field(field).await;
        match self.way {
            Way::Keyboard => self.reach(field).await,
            Way::Mouse | Way::Plain => self.browser.click_field(field).await,
        }
        self.browser.paste(text).await;
    }

    /// Chooses an entry of a list.
    pub(super) async fn choose(&self, field: &str, entry: &str) {
        const CHOSEN: &str = "return document.activeElement.selectedOptions[0].label.trim()";
        if self.way != Way::Keyboard {
            return self.browser.choose(field, entry).await;
        }
        self.browser.await_field(field).await;
        self.reach(field).await;
        self.browser.press(Key::Home).await;
        for _ in 0..100 {
            if self.browser.run(CHOSEN, &[]).await == json!(entry) {
                return;
            }
            self.browser.press(Key::Down).await;
        }
        panic!("{field:?} has no {entry:?}");
    }

    /// Ticks a box, or takes its tick away.
    pub(super) async fn tick(&self, label: &str) {
        if self.way != Way::Keyboard {
            return self.browser.click_field(label).await;
        }
        self.browser.await_field(label).await;
        self.reach(label).await;
        self.browser.type_text(" ").await;
    }

    /// Takes another one of several that exclude each other: from the one that is chosen, by arrows.
    pub(super) async fn pick(&self, chosen: &str, wanted: &str) {
        if self.way != Way::Keyboard {
            return self.browser.click_field(wanted).await;
        }
        self.browser.await_field(chosen).await;
        self.reach(chosen).await;
        self.browser.press(Key::Right).await;
        assert_eq!(self.browser.focused().await, wanted);
    }

    /// Leaves a dialog without doing anything.
    pub(super) async fn leave(&self) {
        match self.way {
            Way::Keyboard => {
                self.browser.await_css("dialog:modal").await;
                self.browser.press(Key::Escape).await;
            }
            Way::Mouse | Way::Plain => self.browser.click_text_in("dialog", "Cancel").await,
        }
    }
}
