//! What is held against any page: accessible by axe-core's account, no wider than the window, nothing that jumps, a clean
//! console. Never here: a page's own subject.

use super::{Browser, Look, Not};
use serde_json::{Value, json};

/// Deque's rules of accessibility; see `assets/README.md`.
const AXE: &str = include_str!("../../assets/axe-4.14.1.min.js");

/// Runs them; only what hinders people is told.
const RUN_AXE: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations
        .filter(rule => ['serious', 'critical'].includes(rule.impact))
        .flatMap(rule => rule.nodes.map(node =>
            `${rule.id} (${rule.impact}): ${rule.help}\\n  ${node.target.join(' ')}\\n  ${node.html}\\n  ${node.failureSummary}`))),
        error => done([`axe-core itself: ${error}`]));
";

/// Names what sticks out of the page.
const TOO_WIDE: &str = "
    const root = document.documentElement;
    if (root.clientWidth !== arguments[0] && root.clientWidth > arguments[0])
        return [`the page takes itself for ${root.clientWidth} wide: has it a viewport?`];
    if (root.scrollWidth <= root.clientWidth) return [];
    const out = [...document.querySelectorAll('body *')]
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > root.clientWidth + 0.5)
        .map(e => `${e.outerHTML.slice(0, 120)} ends at ${Math.round(e.getBoundingClientRect().right)}`);
    return [`${root.scrollWidth} wide in ${root.clientWidth}`, ...out];
";

/// Sums up the layout's shifts since the page began. Two frames later all that the first had to say is there.
const SHIFTS: &str = "
    const done = arguments[arguments.length - 1];
    requestAnimationFrame(() => requestAnimationFrame(() => {
        const observer = new PerformanceObserver(() => {});
        observer.observe({ type: 'layout-shift', buffered: true });
        done(observer.takeRecords().reduce((sum, shift) => sum + shift.value, 0));
    }));
";

impl Browser {
    /// What axe-core finds serious or critical on the page.
    ///
    /// # Panics
    /// Where scripts do not run.
    pub async fn axe(&self) -> Vec<String> {
        if self.run("return typeof axe", &[]).await != json!("object") {
            self.run(AXE, &[]).await;
        }
        serde_json::from_value(self.run_long(RUN_AXE).await).unwrap()
    }

    /// What makes the page wider than its window, if it is.
    ///
    /// # Panics
    /// Where that cannot be measured.
    pub async fn sticks_out(&self) -> Vec<String> {
        serde_json::from_value(self.run(TOO_WIDE, &[json!(self.look().width)]).await).unwrap()
    }

    /// Demands that nothing has to be scrolled sideways.
    ///
    /// # Panics
    /// Where it has, with what sticks out.
    pub async fn no_horizontal_scroll(&self) {
        let out = self.sticks_out().await;
        assert!(out.is_empty(), "{}: {}", self.path().await, out.join("\n"));
    }

    /// How much the page has jumped since it began, as browsers measure it: 0 for not at all, 0.1 is bad.
    ///
    /// # Panics
    /// Where scripts do not run.
    pub async fn layout_shift(&self) -> f64 {
        self.run_long(SHIFTS).await.as_f64().unwrap()
    }

    /// Waits until nothing moves or fades any more: a colour on its way is not the one that is read.
    async fn stands_still(&self) {
        self.patiently("the page to stand still", async || {
            let moving = self.run("return document.getAnimations().filter(a => a.playState === 'running').length", &[]);
            if moving.await == json!(0) { Ok(()) } else { Err(Not::Yet("something moves".into())) }
        })
        .await;
    }

    /// Looks at the page in light, in dark and on a phone, writes a picture of each (`NAME-light.png`, …), and demands that
    /// it is accessible in each, fits in each, and that the console is clean.
    ///
    /// # Panics
    /// Where it is not, with everything that was found.
    pub async fn inspect(&self, name: &str) {
        let before = self.look();
        let mut found = Vec::new();
        for (kind, look) in [("light", Look::DESK), ("dark", Look::DARK), ("phone", Look::PHONE)] {
            self.wear(Look { javascript: before.javascript, ..look }).await;
            self.stands_still().await;
            self.screenshot(&format!("{name}-{kind}")).await;
            let mut seen = self.sticks_out().await;
            if before.javascript {
                seen.extend(self.axe().await);
            }
            found.extend(seen.into_iter().map(|text| format!("{kind}: {text}")));
        }
        self.wear(before).await;
        found.extend(self.console_errors().await);
        assert!(found.is_empty(), "{name} ({}):\n{}", self.path().await, found.join("\n"));
    }

    /// Demands that nothing of the page, nor anything it keeps, has this text in it.
    ///
    /// # Panics
    /// Where something has.
    pub async fn holds_nothing_of(&self, secret: &str) {
        let (source, kept) = (self.source().await, self.kept().await);
        let places: [(&str, &str); 2] =
            [("the page's source", &source), ("what the page keeps", &Value::to_string(&kept))];
        for (place, text) in places {
            assert!(!text.contains(secret), "{place} has {secret:?} in it, at {}", self.path().await);
        }
    }
}
