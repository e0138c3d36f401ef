//! Pages beside the calls of the API that read the same: what writing a page costs, one request at a time.
//!
//! Nothing is clicked here; a browser's own time is not measured.

use super::{people, process::Server};
use crate::error::{Done, TaskError, Tried};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    time::Duration,
};

/// A page, and the call that reads the same.
pub(super) struct Pair {
    /// The page's path.
    pub(super) page: &'static str,
    /// The page.
    pub(super) asked: Rc<Vec<Vec<u8>>>,
    /// The call.
    pub(super) call: Rc<Vec<Vec<u8>>>,
}

/// What is compared.
const PAIRS: [(&str, &str); 3] = [
    ("/profile/api-keys", "/api/v1/api-keys"),
    ("/settings/users", "/api/v1/users"),
    ("/settings/audit-logs?since=ever", "/api/v1/audit-logs"),
];

/// Signs the administrator in twice, as a browser and as a client, and gives what to ask.
pub(super) fn pairs(server: &Server) -> Done<Vec<Pair>> {
    let (host, cookie, token) = (server.address, sign_in(server.address)?, people::token(server)?);
    let request = |path: &str, credential: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: kv-bench/1\r\n{credential}\r\n\r\n");
        Rc::new(vec![head.into_bytes()])
    };
    let pair = |(page, call)| Pair {
        page,
        asked: request(page, &format!("cookie: {cookie}")),
        call: request(call, &format!("authorization: Bearer {token}")),
    };
    Ok(PAIRS.into_iter().map(pair).collect())
}

/// Signs in by the form, and gives the session's cookie.
fn sign_in(address: SocketAddr) -> Done<String> {
    let page = ask(address, &format!("GET /sign-in HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))?;
    let visitor = cookie(&page, "__Host-kv_visitor")?;
    let form = page.split_once("name=\"csrf\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let form = form.ok_or_else(|| TaskError::new("the page has no form"))?;
    let body = format!("csrf={form}&username=admin&password={}", people::PASSWORD);
    let answer = ask(
        address,
        &format!(
            "POST /sign-in HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\ncookie: {visitor}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )?;
    cookie(&answer, "__Host-kv_session")
}

fn cookie(answer: &str, name: &str) -> Done<String> {
    let found = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ").filter(|set| set.starts_with(name)));
    let found = found.and_then(|set| set.split(';').next());
    found.map(str::to_owned).ok_or_else(|| TaskError::new(format!("there is no cookie {name}")))
}

fn ask(address: SocketAddr, request: &str) -> Done<String> {
    let mut stream = TcpStream::connect(address).tried("connecting to the server")?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).tried("setting up a connection")?;
    stream.write_all(request.as_bytes()).tried("sending a request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).tried("reading an answer")?;
    Ok(answer)
}
