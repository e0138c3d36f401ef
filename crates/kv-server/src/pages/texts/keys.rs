//! The texts about API keys.
//!
//! Nothing here is about anything else.

use super::texts;

texts! {
    /// One's own keys, and those of a user.
    Keys {
        title: "API Keys",
        about: "For pipelines and scripts. A key acts as you, with your roles and clusters as they are at that moment, and \
                never asks for a second factor.",
        new: "New API Key",
        name: "Name",
        key: "Key",
        created: "Created",
        last_used: "Last used",
        expires: "Expires",
        state: "State",
        tab_live: "Active",
        tab_expired: "Expired",
        tab_revoked: "Revoked",
        revoke: "Revoke",
        revoke_named: "Revoke {}",
        none: "You have no keys yet.",
        none_what: "Make one for each pipeline, so that each can be revoked alone.",
        none_expired: "No key of yours has expired.",
        none_revoked: "You have revoked no key.",
        new_about: "It can do what you can: {}.",
        name_hint: "Shown in the audit log beside your name. One name for each pipeline.",
        expires_7: "7 days",
        expires_30: "30 days",
        expires_90: "90 days",
        expires_365: "1 year",
        expires_date: "Date…",
        expires_never: "Never",
        date: "Last day",
        date_hint: "It ends with that day, at 23:59 UTC.",
        preview: "Counted from now. A date ends at 23:59 UTC.",
        preview_never: "It works until you revoke it.",
        generate: "Generate",
        generating: "Generating…",
        ready: "{} is ready",
        once: "Copy the key now. Nobody can show it again, not even an administrator.",
        lost: "If you lose it, revoke it and make a new one.",
        copy: "Copy",
        copied: "Copied",
        try_it: "Try it",
        kubectl: "With kubectl",
        stored: "I have stored it",
        revoke_title: "Revoke {}?",
        revoke_what: "It stops at once, everywhere: running requests fail and open streams are cut.",
        revoke_used: "Last used {} from {}.",
        revoke_unused: "It was never used.",
        revoke_final: "This cannot be undone.",
        revoke_action: "Revoke key",
        revoking: "Revoking…",
        nowhere: "nothing yet: no cluster is assigned to you",
        all_namespaces: "all namespaces",
        every_cluster: "every cluster",
        on: "{} on",
        bad_date: "Choose a day from today on, at most ten years ahead.",
    }
}
