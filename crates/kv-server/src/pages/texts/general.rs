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
        in_seconds: "in {} s",
        in_minutes: "in {} min",
        in_hours: "in {} h",
        tomorrow: "tomorrow",
        in_days: "in {} days",
    }
}

texts! {
    /// What was just done.
    Done {
        made: "The key is in the list. Nobody can show it again.",
        revoked: "The key is revoked. Nothing accepts it any more.",
        cluster_added: "The cluster is added. Have it assigned to whoever is to work in it.",
        cluster_changed: "The cluster is saved. It counts from the next request on.",
        cluster_removed: "The cluster is removed.",
        scaled: "The cluster was told. The pods follow.",
        restarted: "The restart has begun.",
        factor_off: "Your second factor is off, and your other sessions have ended.",
        session_ended: "The session has ended.",
        password: "Your password is changed, and every session has ended. Sign in with the new one.",
        user_made: "The user is made. Assign clusters to them next.",
        user_deleted: "The user is deleted, with their keys and sessions.",
        user_disabled: "The user is disabled. Their sessions are over and their keys revoked.",
        user_enabled: "The user is enabled, and can sign in again.",
        role_given: "The role is saved. It counts from their next request on.",
        assigned: "The assignment is saved. It counts from their next request on.",
        unassigned: "The assignment is removed. Nothing of theirs runs there any more that they may not do.",
        password_reset: "The password is reset. Their sessions are over.",
        factor_reset: "The second factor is reset. Their sessions are over.",
        role_made: "The role is made. Nobody holds it yet.",
        role_changed: "The role is saved. It counts for everybody who holds it from their next request on.",
        role_deleted: "The role is deleted.",
    }
}

impl Done {
    /// What is said for a code; nothing for one that is none of ours.
    pub(in crate::pages) fn said(&self, code: &str) -> Option<&'static str> {
        match code {
            "made" => Some(self.made),
            "revoked" => Some(self.revoked),
            "cluster-added" => Some(self.cluster_added),
            "cluster-changed" => Some(self.cluster_changed),
            "cluster-removed" => Some(self.cluster_removed),
            "scaled" => Some(self.scaled),
            "restarted" => Some(self.restarted),
            "factor-off" => Some(self.factor_off),
            "session-ended" => Some(self.session_ended),
            "password" => Some(self.password),
            "user-made" => Some(self.user_made),
            "user-deleted" => Some(self.user_deleted),
            "user-disabled" => Some(self.user_disabled),
            "user-enabled" => Some(self.user_enabled),
            "role-given" => Some(self.role_given),
            "assigned" => Some(self.assigned),
            "unassigned" => Some(self.unassigned),
            "password-reset" => Some(self.password_reset),
            "factor-reset" => Some(self.factor_reset),
            "role-made" => Some(self.role_made),
            "role-changed" => Some(self.role_changed),
            "role-deleted" => Some(self.role_deleted),
            _ => None,
        }
    }
}

texts! {
    /// What went wrong.
    Errors {
        forbidden: "That is not yours to do",
        not_found: "There is no such page",
        out_of_date: "This page is out of date",
        unavailable_title: "Not confirmed",
        limited: "Too many requests",
        other: "That did not work",
        broken: "Something went wrong here",
        signed_out: "You are not signed in, or no longer.",
        unavailable: "The server cannot reach its database right now, and nothing was done. Try again in a moment.",
        unconfirmed: "Not confirmed: the server lost touch with its database on the way. If you changed something, it may \
                      have been done or not. Look, and try again.",
        throttled: "There were too many failed attempts. Try again {}.",
        too_fast: "That was more than the rate limit allows, and nothing was done. Try again {}.",
        in_title: "Error: {}",
        kept: "What you had typed is here again. Passwords and other secrets are not: enter them once more.",
        request: "Request {}: name it when you ask whoever runs this server.",
        home: "To the start page",
    }
}

impl Errors {
    /// The headline of a status.
    pub(in crate::pages) fn title(&self, status: u16, code: &str) -> &'static str {
        match status {
            _ if matches!(code, "foreign_form" | "no_cookie") => self.out_of_date,
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
    }
}
