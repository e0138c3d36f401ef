//! Agents: how the audit log names the client of a session. What a client says of itself is its own word, no more.

/// What the pages of this server are named, whatever browser shows them.
pub(crate) const BROWSER: &str = "web";

/// What a client calls itself, cut to the name of its product (RFC 9110 §10.1.5); `session` if it does not say.
pub(crate) fn client(user_agent: &str) -> String {
    let product: String = user_agent
        .chars()
        .take_while(|&c| c.is_ascii_graphic() && c != '/')
        .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        .take(64)
        .collect();
    // The pages' own name is nobody else's.
    if product.is_empty() || product == BROWSER { "session".into() } else { product }
}

#[cfg(test)]
mod tests {
    use super::client;

    #[test]
    fn a_client_is_named_by_its_product() {
        for (user_agent, name) in [
            ("curl/7.88.1", "curl"),
            ("kubectl/v1.32 (linux/amd64)", "kubectl"),
            ("", "session"),
            ("web/1.0", "session"),
            ("\u{202e}evil", "session"),
            ("<b>x</b>", "bx"),
        ] {
            assert_eq!(client(user_agent), name);
        }
    }
}
