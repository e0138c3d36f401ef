//! What has come of an answer: read from its bytes, whole or not.

/// An answer, as far as it has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Came {
    /// 0 where the head is not whole.
    pub(crate) status: u16,
    pub(crate) request_id: String,
    pub(crate) whole: bool,
}

/// Reads it.
pub(crate) fn came(bytes: &[u8]) -> Came {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Came::default() };
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let whole = match header("content-length") {
        Some(length) => length.parse().is_ok_and(|length: usize| body.len() >= length),
        None => body.ends_with("0\r\n\r\n"),
    };
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Came { status, request_id: header("x-request-id").unwrap_or_default(), whole }
}
