//! The texts about the audit log.
//!
//! Nothing here is an entry's: what an entry says is shown as it is.

use super::texts;

texts! {
    /// The log, and one entry of it.
    Audit {
        title: "Audit Logs",
        about: "Every request of every key, and everything people change.",
        export: "Export CSV",
        export_lines: "Export JSON Lines",
        preparing: "Preparing…",
        filter: "Filter entries",
        any: "any",
        apply: "Apply",
        clear: "Clear",
        caption: "Audit entries, the newest first",
        time: "Time",
        user: "User",
        agent: "Agent",
        action: "Action",
        resource: "Resource",
        place: "Where",
        cluster: "Cluster",
        namespace: "Namespace",
        status: "Status",
        outcome: "Outcome",
        key: "Key",
        since: "Time",
        hour: "last hour",
        day: "last 24 hours",
        week: "last 7 days",
        month: "last 30 days",
        ever: "all",
        none: "No entry matches.",
        none_what: "Take a filter away, or look further back.",
        a_page: "50 entries a page, the newest first",
        newest: "Newest",
        older: "Older",
        malformed: "A filter has a value that it cannot have.",
        of_key: "More of this key",
        of_user: "More of this user",
        name: "Name",
        address: "Address",
        client: "Client",
        request: "Request",
        entry: "Entry",
        count: "Requests",
        count_what: "{} alike, counted together",
        nobody: "nobody known",
    }
}
