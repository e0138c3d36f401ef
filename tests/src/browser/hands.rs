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

/// Finds what can be clicked by its words, among what is shown.
const BY_WORDS: &str = "
    const [scope, words] = arguments;
    const tidy = text => (text ?? '').replace(/\\s+/g, ' ').trim();
    const all = document.querySelectorAll(`${scope} :is(a, button, summary, label, [role=button], input[type=submit])`);
    return [...all].filter(e => e.checkVisibility())
        .filter(e => [e.getAttribute('aria-label'), e.innerText, e.value].some(text => tidy(text) === words));
";

/// Finds a field by its label or name.
const FIELD: &str = "
    const [words] = arguments;
    const tidy = text => (text ?? '').replace(/\\s+/g, ' ').trim();
    const labelled = [...document.querySelectorAll('label')].filter(l => tidy(l.innerText) === words).map(l => l.control);
    const named = [...document.querySelectorAll('input, select, textarea')]
        .filter(e => e.name === words || tidy(e.getAttribute('aria-label')) === words);
    return [...new Set([...labelled, ...named])].filter(e => e && e.type !== 'hidden' && e.checkVisibility());
";

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

    /// What a screen reader calls the focused element; empty where none is.
    ///
    /// # Panics
    /// Where the browser does not tell.
    pub async fn focused(&self) -> String {
        self.patiently("the name of what has the focus", async || {
            let element = self.client.active_element().await?;
            if element.tag_name().await? == "body" {
                return Ok(String::new());
            }
            let name = self.get(format!("element/{}/computedlabel", element.element_id().as_ref())).await?;
            Ok(name.as_str().unwrap_or_default().to_owned())
        })
        .await
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
            let focused = self.focused().await;
            if focused.is_empty() {
                // From the last stop the focus goes to the browser's own bars, and then to the first.
                assert!(!self.has_focus().await, "a stop without a name after {stops:?}\n{}", self.shown_now().await);
            } else {
                assert!(self.shows_focus().await, "{focused:?} looks as if it had no focus");
            }
            if focused == name {
                return;
            }
            stops.push(focused);
        }
        panic!("Tab does not lead to {name:?}, but to {stops:?}\n{}", self.shown_now().await);
    }

    async fn has_focus(&self) -> bool {
        self.run("return document.hasFocus() && document.activeElement !== document.body", &[]).await == json!(true)
    }

    /// Whether the focused element has an outline or a shadow around it; radio buttons and the like may have it on their
    /// label. Within a field for dates a part of it may have the focus, which the browser marks itself.
    async fn shows_focus(&self) -> bool {
        let script = "
            const marked = e => {
                const style = getComputedStyle(e);
                return style.boxShadow !== 'none' || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1);
            };
            const focused = document.activeElement;
            return !focused.matches(':focus') || [focused, focused.parentElement, focused.nextElementSibling].some(e => e && marked(e));
        ";
        self.run(script, &[]).await == json!(true)
    }
}
