//! What stands on every page, and the pages before anyone is signed in.
//!
//! Nothing here is about one kind of object.

use super::texts;

texts! {
    /// The way around.
    Nav {
        product: "KubeVision",
        skip: "Skip to the page",
        menu: "Menu",
        main: "Main",
        work: "Work",
        profile: "Profile",
        settings: "Settings",
        clusters: "Clusters",
        keys: "API Keys",
        security: "Security",
        users: "Users",
        roles: "Roles",
        audit: "Audit Logs",
        sign_out: "Sign out",
        signed_in_as: "Signed in as {}",
        cancel: "Cancel",
        more: "Next page",
        first: "First page",
        no_script_times: "Times are in UTC.",
    }
}

texts! {
    /// Words for states and times.
    States {
        active: "Active",
        expiring: "Expiring",
        expired: "Expired",
        revoked: "Revoked",
        never: "never",
        never_used: "never used",
        now: "just now",
        minutes_ago: "{} min ago",
        hours_ago: "{} h ago",
        yesterday: "yesterday",
        days_ago: "{} days ago",
        in_minutes: "in {} min",
        in_hours: "in {} h",
        tomorrow: "tomorrow",
        in_days: "in {} days",
    }
}

texts! {
    /// What was just done.
    Done {
        revoked: "The key is revoked. Nothing accepts it any more.",
    }
}

impl Done {
    /// What is said for a code; nothing for one that is none of ours.
    pub(in crate::pages) fn said(&self, code: &str) -> Option<&'static str> {
        match code {
            "revoked" => Some(self.revoked),
            _ => None,
        }
    }
}

texts! {
    /// What went wrong.
    Errors {
        forbidden: "That is not yours to do",
        not_found: "There is no such page",
        unavailable_title: "Not confirmed",
        limited: "Too many requests",
        other: "That did not work",
        broken: "Something went wrong here",
        signed_out: "You are not signed in, or no longer.",
        unavailable: "The server cannot reach its database right now. Nothing was done. Try again in a moment.",
        unconfirmed: "Not confirmed: the server lost touch with its database on the way. It may have been done or not. \
                      Look, and try again.",
        wait: "You are faster than your rate limit allows, or failed too often. Wait a moment, then try again.",
        request: "Request {}: name it when you ask whoever runs this server.",
        home: "To the start page",
    }
}

impl Errors {
    /// The headline of a status.
    pub(in crate::pages) fn title(&self, status: u16) -> &'static str {
        match status {
            403 => self.forbidden,
            404 => self.not_found,
            429 => self.limited,
            503 => self.unavailable_title,
            500.. => self.broken,
            _ => self.other,
        }
    }
}

texts! {
    /// Signing in.
    SignIn {
        title: "Sign in",
        about: "Your clusters, and the keys of your pipelines.",
        name: "Name",
        password: "Password",
        action: "Sign in",
        busy: "Signing in…",
        code_title: "Second factor",
        code_about: "Enter the six digits your authenticator app shows for KubeVision.",
        code: "Code",
        code_hint: "No phone at hand? Enter one of your recovery codes instead.",
        code_action: "Continue",
        again: "Start again",
        signed_out: "You are signed out.",
        refused: "The name or the password is wrong, or the account is disabled.",
        wrong_code: "The code is wrong, too old, or was used before. Take the next one.",
        over: "That took too long. Sign in again.",
        needs_cookie: "Your browser did not keep this server's cookie. Allow cookies, and open the server by https://.",
    }
}
