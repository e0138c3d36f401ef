//! What a person does with a page, by mouse and by keys. Never here: a script that does it instead of them.

use super::{Browser, Key, Not};
use fantoccini::{
    Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
};
use serde_json::{Value, json};

/// How many stops of the Tab key a page may have.
const MOST_STOPS: usize = 120;

/// Finds what can be clicked by its words, among what is shown and not behind a dialog.
const BY_WORDS: &str = "
    const [scope, words] = arguments;
    const tidy = text => (text ?? '').replace(/\\s+/g, ' ').trim();
    const all = document.querySelectorAll(`${scope} :is(a, button, summary, label, [role=button], input[type=submit])`);
    return [...all].filter(e => e.checkVisibility() && !e.closest('[inert]'))
        .filter(e => [e.getAttribute('aria-label'), e.innerText, e.value].some(text => tidy(text) === words));
";

/// Finds a field by its label or name.
const FIELD: &str = "
    const [words] = arguments;
    const tidy = text => (text ?? '').replace(/\\s+/g, ' ').trim();
    const said = label => {
        const copy = label.cloneNode(true);
        copy.querySelectorAll('select, textarea').forEach(e => e.remove());
        return tidy(copy.textContent);
    };
    const labelled = [...document.querySelectorAll('label')].filter(l => said(l) === words).map(l => l.control);
    const named = [...document.querySelectorAll('input, select, textarea')]
        .filter(e => e.name === words || tidy(e.getAttribute('aria-label')) === words);
    return [...new Set([...labelled, ...named])]
        .filter(e => e && e.type !== 'hidden' && e.checkVisibility() && !e.closest('[inert]'));
";

/// What the focus is on: the element, whether the page has the focus at all, whether it is a button, and whether the focus
/// shows by an outline or a shadow; radio buttons and the like may have it on their label. Within a field for dates a part of
/// it may have the focus, which the browser marks itself.
const STOP: &str = "
    const marked = e => {
        const style = getComputedStyle(e);
        return style.boxShadow !== 'none' || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1);
    };
    const at = document.activeElement, nowhere = !at || at === document.body;
    const shows = nowhere || !at.matches(':focus')
        || [at, at.parentElement, at.nextElementSibling].some(e => e && marked(e));
    return [nowhere ? null : at, document.hasFocus() && !nowhere, !nowhere && at.matches('button'), shows];
";

/// Where the Tab key has led.
struct Stop {
    /// What a screen reader calls it; empty where nothing has the focus.
    name: String,
    has_focus: bool,
    is_button: bool,
    shows: bool,
}

impl Browser {
    /// Clicks what a selector names.
    ///
    /// # Panics
    /// Where it does not come, or something lies over it.
    pub async fn click(&self, css: &str) {
        self.patiently(&format!("clicking {css}"), async || {
            Ok(self.client.find(Locator::Css(css)).await?.click().await?)
        })
        .await;
    }

    /// Clicks the one link or button with these words.
    ///
    /// # Panics
    /// Where there are none or several, or something lies over it.
    pub async fn click_text(&self, words: &str) {
        self.click_text_in("body", words).await;
    }

    /// Clicks the one link or button with these words, in what a selector names.
    ///
    /// # Panics
    /// Where there are none or several, or something lies over it.
    pub async fn click_text_in(&self, css: &str, words: &str) {
        self.patiently(&format!("clicking {words:?} in {css}"), async || {
            Ok(self.only(BY_WORDS, vec![json!(css), json!(words)]).await?.click().await?)
        })
        .await;
    }

    /// Waits until there is one link or button with these words, in what a selector names.
    ///
    /// # Panics
    /// Where there are none or several.
    pub async fn await_words(&self, css: &str, words: &str) {
        self.patiently(&format!("waiting for {words:?} in {css}"), async || {
            self.only(BY_WORDS, vec![json!(css), json!(words)]).await.map(drop)
        })
        .await;
    }

    /// Clicks a field, such as a box to be ticked or one of several to be chosen, by its label or name.
    ///
    /// # Panics
    /// Where there is no such field or several, or something lies over it.
    pub async fn click_field(&self, field: &str) {
        self.patiently(&format!("clicking {field:?}"), async || {
            Ok(self.only(FIELD, vec![json!(field)]).await?.click().await?)
        })
        .await;
    }

    /// Waits until there is a field with this label or name.
    ///
    /// # Panics
    /// Where there is no such field or several.
    pub async fn await_field(&self, field: &str) {
        self.patiently(&format!("waiting for {field:?}"), async || {
            self.only(FIELD, vec![json!(field)]).await.map(drop)
        })
        .await;
    }

    /// The one element that a script finds.
    async fn only(&self, script: &str, arguments: Vec<Value>) -> Result<Element, Not> {
        let found = self.client.execute(script, arguments).await?;
        match found.as_array().map(Vec::as_slice) {
            Some([one]) => self.element(one).ok_or_else(|| Not::Ever(format!("not an element: {one}"))),
            Some(several) => Err(Not::Yet(format!("there are {}", several.len()))),
            None => Err(Not::Ever(format!("not a list: {found}"))),
        }
    }

    /// Writes into a field, named by its label or its name, in place of what is there. A date is given as `2027-03-04`, and
    /// typed as people in the browser's country do.
    ///
    /// # Panics
    /// Where there is no such field or several, or it takes nothing.
    pub async fn fill(&self, field: &str, text: &str) {
        self.patiently(&format!("filling {field:?}"), async || {
            let element = self.only(FIELD, vec![json!(field)]).await?;
            element.clear().await?;
            let is_date = element.prop("type").await?.as_deref() == Some("date");
            match text.split('-').collect::<Vec<_>>().as_slice() {
                [year, month, day] if is_date => element.send_keys(&format!("{month}{day}{year}")).await?,
                _ => element.send_keys(text).await?,
            }
            Ok(())
        })
        .await;
    }

    /// What stands in a field.
    ///
    /// # Panics
    /// Where there is no such field.
    pub async fn value(&self, field: &str) -> String {
        self.patiently(&format!("reading {field:?}"), async || {
            Ok(self.only(FIELD, vec![json!(field)]).await?.prop("value").await?.unwrap_or_default())
        })
        .await
    }

    /// Chooses an entry of a list, by what it says.
    ///
    /// # Panics
    /// Where there is no such list or entry.
    pub async fn choose(&self, field: &str, entry: &str) {
        self.patiently(&format!("choosing {entry:?} of {field:?}"), async || {
            Ok(self.only(FIELD, vec![json!(field)]).await?.select_by_label(entry).await?)
        })
        .await;
    }

    /// Presses a key.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn press(&self, key: Key) {
        self.press_together(&[key]).await;
    }

    /// Presses keys together, such as Shift and Tab.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn press_together(&self, keys: &[Key]) {
        let down = keys.iter().map(|key| KeyAction::Down { value: (*key).into() });
        let up = keys.iter().rev().map(|key| KeyAction::Up { value: (*key).into() });
        self.strike(down.chain(up)).await;
    }

    /// Types, wherever the focus is.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn type_text(&self, text: &str) {
        let strokes = text.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        self.strike(strokes).await;
    }

    async fn strike(&self, strokes: impl Iterator<Item = KeyAction>) {
        let keys = strokes.fold(KeyActions::new("keys".into()), KeyActions::then);
        self.client.perform_actions(keys).await.unwrap();
    }

    /// Marks all that stands in the field with the focus, so that what is typed takes its place.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn select_all(&self) {
        let control = Key::Control.into();
        let strokes = [
            KeyAction::Down { value: control },
            KeyAction::Down { value: 'a' },
            KeyAction::Up { value: 'a' },
            KeyAction::Up { value: control },
        ];
        self.strike(strokes.into_iter()).await;
    }

    /// Pastes, wherever the focus is.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn paste(&self, text: &str) {
        self.tell("Input.insertText", json!({"text": text})).await;
    }

    async fn stop(&self) -> Stop {
        self.patiently("the name of what has the focus", async || {
            let found = self.client.execute(STOP, Vec::new()).await?;
            let says = |at: usize| found[at] == json!(true);
            let name = match self.element(&found[0]) {
                Some(element) => self.get(format!("element/{}/computedlabel", element.element_id().as_ref())).await?,
                None => Value::Null,
            };
            let name = name.as_str().unwrap_or_default().to_owned();
            Ok(Stop { name, has_focus: says(1), is_button: says(2), shows: says(3) })
        })
        .await
    }

    /// What a screen reader calls the focused element; empty where none is.
    ///
    /// # Panics
    /// Where the browser does not tell.
    pub async fn focused(&self) -> String {
        self.stop().await.name
    }

    /// Presses what has the focus: a button by Space, a link by Enter.
    ///
    /// # Panics
    /// Where that cannot be.
    pub async fn press_focused(&self) {
        match self.stop().await.is_button {
            true => self.type_text(" ").await,
            false => self.press(Key::Enter).await,
        }
    }

    /// Presses Tab until the focus is on what a screen reader calls so, and demands that each stop on the way has a name and
    /// can be seen to have the focus.
    ///
    /// # Panics
    /// Where it is not reached, with all stops; and where a stop has no name or looks as if it had no focus.
    pub async fn tab_to(&self, name: &str) {
        let mut stops = Vec::new();
        while stops.len() < MOST_STOPS {
            self.press(Key::Tab).await;
            let stop = self.stop().await;
            if stop.name.is_empty() {
                // From the last stop the focus goes to the browser's own bars, and then to the first.
                assert!(!stop.has_focus, "a stop without a name after {stops:?}\n{}", self.shown_now().await);
            } else {
                assert!(stop.shows, "{:?} looks as if it had no focus", stop.name);
            }
            if stop.name == name {
                return;
            }
            stops.push(stop.name);
        }
        panic!("Tab does not lead to {name:?}, but to {stops:?}\n{}", self.shown_now().await);
    }
}
