//! The texts about roles.
//!
//! Nothing here says what a role holds; kv-authz does.

use super::texts;

texts! {
    /// The roles, and one of them.
    Roles {
        title: "Roles",
        about: "What each role may do. Assignments say where.",
        new: "New role",
        new_about: "It holds nothing but what you tick, and nothing that you do not hold yourself.",
        matrix: "Permissions of each role",
        permissions: "Permissions",
        resource: "Resource",
        read: "read",
        write: "write",
        delete: "delete",
        read_letter: "R",
        write_letter: "W",
        delete_letter: "D",
        nothing: "nothing",
        yes: "yes",
        no: "no",
        legend: "R read, W write, D delete. A role may hold more than is listed here. The first {} are built in. Open another \
                 to see all it holds, or to change it.",
        of_kubevision: "{} of KubeVision",
        every_resource: "Every resource",
        exec: "Run commands in pods",
        logs: "Read pod logs",
        reveal: "See the values of Secrets",
        manage_rights: "Give roles and assignments, and rights in Kubernetes",
        manage_keys: "See and revoke other people’s API keys",
        audit: "Read the audit log",
        also: "Also",
        name: "Name",
        name_hint: "1 to 64 letters, digits, “-”, “_” and “.”.",
        more: "Other permissions",
        more_hint: "One a line, such as certificates.cert-manager.io:read, pods:* or *:logs.",
        malformed: "“{}” is no permission. Write resource:action, such as deployments:write, pods:* or *:read.",
        save: "Save role",
        saving: "Saving…",
        make: "Make role",
        making: "Making…",
        change: "Change role",
        held_by_none: "Nobody holds it.",
        held_by_one: "One person holds it. Changes act on their next request.",
        held_by: "{} people hold it. Changes act on their next request.",
        delete_role: "Delete role",
        delete_title: "Delete {}?",
        delete_none: "Nobody holds it.",
        delete_one: "One person holds it, and may do nothing from then on. What they have running ends at once.",
        delete_many: "{} people hold it, and may do nothing from then on. What they have running ends at once.",
        delete_final: "This cannot be undone.",
        deleting: "Deleting, on every server…",
    }
}
