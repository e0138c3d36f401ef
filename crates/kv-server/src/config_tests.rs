//! Tests of the configuration.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use kv_authz::SecondFactorFor;

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_variables(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config =
        read(&[("HOME", "/"), ("KUBEVISION_SERVICE_HOST", "10.0.0.1"), ("KUBEVISION_PORT", "tcp://x")]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.rate_limit.to_string(), "600/m,burst=100");
    assert_eq!(config.api_keys.max_per_user, 100);
    assert!(config.database().unwrap().is_sqlite());
}

#[test]
fn attack_250_an_unknown_setting_stops_the_start() {
    for pair in [
        ("KUBEVISION_LISTN", "127.0.0.1:1"),
        ("KUBEVISION_API_KEYS__ALOW", "true"),
        ("KUBEVISION_RATE_LIMIT", "fast"),
        ("KUBEVISION_ENVIRONMENT", "staging"),
        ("KUBEVISION_LISTEN", "nowhere"),
        ("KUBEVISION_RATE_LIMITS__ROLES__DEV", "fast"),
        ("KUBEVISION_TRUSTED_PROXIES", "proxy.example.com"),
        ("KUBEVISION_AUDIT__RETENTION_DAYS", "-1"),
        ("KUBEVISION_SECOND_FACTOR__REQUIRED", "everybody"),
        ("KUBEVISION_HSTS_SECONDS", "-1"),
        ("KUBEVISION_PUBLIC_URL", "kubevision.example.com"),
        ("KUBEVISION_PUBLIC_URL", "https://kubevision.example.com/path"),
    ] {
        assert!(read(&[pair]).is_err(), "{pair:?}");
    }
}

#[test]
fn variables_reach_nested_settings_and_keep_text_as_it_is() {
    let config = read(&[
        ("KUBEVISION_API_KEYS__MAX_PER_USER", "5"),
        ("KUBEVISION_API_KEYS__ALLOW_ADMINISTRATION", "true"),
        ("KUBEVISION_ADMIN_PASSWORD", "007"),
        ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1, 169.254.0.0/16"),
        ("KUBEVISION_RATE_LIMIT", "60/m,burst=6"),
        ("KUBEVISION_RATE_LIMITS__ROLES__DEV", "30/m,burst=3"),
        ("KUBEVISION_RATE_LIMITS__USERS__ANN", "off"),
        ("KUBEVISION_TRUSTED_PROXIES", "10.0.0.1, 192.0.2.0/24"),
        ("KUBEVISION_SECOND_FACTOR__REQUIRED_FOR", "admin, ops"),
        ("KUBEVISION_AUDIT__RETENTION_DAYS", "0"),
        ("KUBEVISION_PUBLIC_URL", "https://kubevision.example.com/"),
    ])
    .unwrap();
    let limits = config.limits();
    let of = |user, role| limits.of(user, role).to_string();
    assert_eq!(
        (of("ann", "dev"), of("bob", "dev"), of("bob", "ops")),
        ("off".into(), "30/m,burst=3".into(), "60/m,burst=6".into())
    );
    let named = ["admin", "ops"].map(str::to_owned).into();
    assert_eq!(config.second_factor.required_for, SecondFactorFor::Roles(named));
    assert!(config.trusted_proxies.contain("192.0.2.7".parse().unwrap()));
    assert_eq!(config.audit.retention_days, 0);
    assert_eq!(config.public_url.as_ref().unwrap().to_string(), "https://kubevision.example.com");
    assert_eq!(config.api_keys.max_per_user, 5);
    assert!(config.api_keys.allow_administration);
    assert_eq!(config.admin_password.as_ref().unwrap().expose_secret(), "007");
    assert!(!format!("{config:?}").contains("007"));
}
