//! As much of HTTP/1.1 as the measurements need: one request as bytes, the end of one answer. Only for our own servers.

use crate::error::{Done, TaskError, Tried};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The head of an answer that has arrived in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// Bytes of head and body together.
    pub(super) length: usize,
}

/// A request without a body.
pub(super) fn get(address: SocketAddr, path: &str, key: Option<&str>) -> Vec<u8> {
    let credential = key.map(|key| format!("authorization: ApiKey {key}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: kv-bench/1\r\n{credential}\r\n").into_bytes()
}

/// Sends a request and reads its answer into `buffer`, which must be longer.
pub(super) async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> Done<Answer> {
    stream.write_all(request).await.tried("sending a request")?;
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.tried("reading an answer")?;
        if read == 0 {
            return Err(TaskError::new("the server closed a connection in the middle of the load"));
        }
        filled += read;
        match scan(&buffer[..filled])? {
            Some(answer) if answer.length == filled => return Ok(answer),
            Some(_) => return Err(TaskError::new("the server sent more than one answer to a request")),
            None => {}
        }
    }
}

/// Looks whether `bytes` hold a whole answer; `None` while more is to come.
pub(super) fn scan(bytes: &[u8]) -> Result<Option<Answer>, TaskError> {
    const LENGTH: &[u8] = b"content-length:";
    let malformed = || TaskError::new("an answer is not HTTP/1.1 with a Content-Length");
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let (mut at, mut status, mut body) = (0, None, None);
    while let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[at..at + end];
        at += end + 1;
        if status.is_none() {
            let code = line.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(number);
            status = Some(code.and_then(|code| u16::try_from(code).ok()).ok_or_else(malformed)?);
        } else if line == b"\r" {
            // One without content has no length either.
            let body = if status == Some(204) { Some(0) } else { body };
            let (Some(status), Some(body)) = (status, body) else { return Err(malformed()) };
            let length = at + body;
            return Ok((bytes.len() >= length).then_some(Answer { status, length }));
        } else if let Some((name, value)) = line.split_at_checked(LENGTH.len())
            && name.eq_ignore_ascii_case(LENGTH)
        {
            body = Some(number(value).ok_or_else(malformed)?);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let text = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nx: y\r\n\r\n{}";
        for end in 0..text.len() {
            assert_eq!(scan(&text[..end]).unwrap(), None);
        }
        assert_eq!(scan(text).unwrap(), Some(Answer { status: 401, length: text.len() }));
        let empty = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n";
        assert_eq!(scan(empty).unwrap(), Some(Answer { status: 204, length: empty.len() }));
        assert!(scan(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(scan(b"SSH-2.0\r\n").is_err());
    }
}
