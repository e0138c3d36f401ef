//! The tables as Diesel sees them, on both databases; kept by hand, held to the migrations by a test.
#![allow(missing_docs, clippy::all, reason = "generated items of `table!`")]

diesel::table! {
    users (id) {
        id -> Binary,
        name -> Text,
        role -> Text,
        password_hash -> Nullable<Text>,
        created_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
        version -> BigInt,
        keys_made -> BigInt,
    }
}

diesel::table! {
    clusters (id) {
        id -> Binary,
        name -> Text,
        server -> Text,
        sealed -> Binary,
        created_at -> BigInt,
        impersonate -> BigInt,
        webhook_digest -> Nullable<Binary>,
    }
}

diesel::table! {
    revisions (name) {
        name -> Text,
        version -> BigInt,
    }
}

diesel::table! {
    assignments (id) {
        id -> Binary,
        user_id -> Binary,
        cluster_id -> Nullable<Binary>,
        namespaces -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Binary,
        user_id -> Binary,
        created_at -> BigInt,
        expires_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        ip -> Nullable<Text>,
        user_agent -> Text,
        renewed_at -> Nullable<BigInt>,
        factor_shown_at -> Nullable<BigInt>,
        ended_by -> Nullable<Text>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Binary,
        user_id -> Binary,
        name -> Text,
        prefix -> Text,
        digest -> Binary,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        expired_seen_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        revoke_reason -> Nullable<Text>,
        revoked_with_owner_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_key_uses (key_id) {
        key_id -> Binary,
        last_used_at -> BigInt,
        last_used_ip -> Nullable<Text>,
    }
}

diesel::table! {
    audit_entries (id, at) {
        id -> Binary,
        at -> BigInt,
        user_id -> Nullable<Binary>,
        user_name -> Text,
        agent -> Text,
        key_id -> Nullable<Binary>,
        action -> Text,
        resource -> Text,
        resource_name -> Nullable<Text>,
        cluster -> Nullable<Text>,
        namespace -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Text,
        request_id -> Text,
        count -> BigInt,
        status_code -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        detail -> Text,
    }
}

diesel::table! {
    audit_outcomes (entry_id, entry_at) {
        entry_id -> Binary,
        entry_at -> BigInt,
        at -> BigInt,
        status_code -> BigInt,
        outcome -> Text,
        detail -> Text,
    }
}

diesel::table! {
    roles (id) {
        id -> Text,
        name -> Text,
        grants -> Text,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        version -> BigInt,
    }
}

diesel::table! {
    second_factors (user_id) {
        user_id -> Binary,
        sealed -> Binary,
        enabled_at -> Nullable<BigInt>,
        last_step -> BigInt,
    }
}

diesel::table! {
    recovery_codes (user_id, hash) {
        user_id -> Binary,
        hash -> Text,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    login_challenges (digest) {
        digest -> Binary,
        user_id -> Binary,
        user_version -> BigInt,
        user_agent -> Text,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    throttles (subject) {
        subject -> Binary,
        failures -> BigInt,
        last_at -> BigInt,
        free_at -> BigInt,
    }
}

diesel::table! {
    refresh_tokens (digest) {
        digest -> Binary,
        session_id -> Binary,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rate_buckets (user_id) {
        user_id -> Binary,
        tat -> BigInt,
    }
}

diesel::table! {
    audit_seals (chain, number) {
        chain -> Binary,
        number -> BigInt,
        at -> BigInt,
        items -> Binary,
        previous -> Binary,
        mac -> Binary,
    }
}

diesel::table! {
    replicas (id) {
        id -> Binary,
        renewals -> BigInt,
        acknowledged -> BigInt,
        joined_at -> BigInt,
    }
}

diesel::table! {
    cuts (number) {
        number -> BigInt,
        kind -> Text,
        subject -> Nullable<Binary>,
        at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    clusters,
    revisions,
    assignments,
    sessions,
    api_keys,
    api_key_uses,
    audit_entries,
    audit_outcomes,
    roles,
    second_factors,
    recovery_codes,
    login_challenges,
    throttles,
    refresh_tokens,
    rate_buckets,
    audit_seals,
    replicas,
    cuts
);
diesel::joinable!(api_keys -> users (user_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(refresh_tokens -> sessions (session_id));
diesel::joinable!(login_challenges -> users (user_id));
diesel::joinable!(api_key_uses -> api_keys (key_id));
