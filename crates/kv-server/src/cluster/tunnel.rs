//! What is carried between a client's WebSocket and a cluster, message by message, both ways at once.
//!
//! The frames are tungstenite's business. Nothing in a message is changed; a message longer than [`MAX_MESSAGE`] ends the
//! tunnel. Whatever ends it, the client is told why, and nothing that waited is delivered any more.

use std::{
    cell::Cell,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use hyper::{body::Bytes, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The longest message, and the longest frame, in bytes. Kubernetes and its clients send 32 KiB at a time.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// How long a client is given to take the last words.
const LAST_WORDS: Duration = Duration::from_millis(15);
/// How long a command may be silent after the end of its input, where the cluster cannot be told of that end.
const AFTER_INPUT: Duration = Duration::from_secs(5);
/// The stream on which a command's end is told (`remotecommand` of Kubernetes).
const ERRORS: u8 = 3;
/// The message that says that a stream has ended, in `v5.channel.k8s.io`.
const END_OF: u8 = 255;
/// The close code of a tunnel whose credential was revoked.
const REVOKED: u16 = 4401;

/// The cluster's end.
#[derive(Debug)]
pub enum Far {
    /// A WebSocket.
    WebSocket(TokioIo<Upgraded>),
    /// A connection whose bytes the client puts into its messages.
    Bytes(TokioIo<Upgraded>),
}

/// What is spoken.
#[derive(Debug, Clone, Copy)]
pub struct Spoken {
    /// Whether the first byte of a message names a stream, and one of them tells how a command ended.
    pub has_error_stream: bool,
    /// Whether the client says when its input ends and the cluster cannot be told.
    pub lacks_end_of_input: bool,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// One side closed it.
    Closed,
    /// One side broke off.
    Broken,
    /// A message was too long, or no message.
    Unreadable,
    /// Nothing was said for too long.
    Idle,
    /// The input ended, the cluster cannot be told, and nothing more came.
    InputEnded,
    /// It was revoked.
    Revoked,
    /// Whether it was revoked cannot be known any more.
    Unconfirmed,
    /// The server is stopping.
    Stopping,
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Carries messages until one side has enough, nothing was said for `idle`, or `cut` resolves, with why and the words that
/// tell the client.
pub async fn carry<C: AsyncRead + AsyncWrite + Unpin>(
    client: C,
    far: Far,
    spoken: Spoken,
    idle: Duration,
    cut: impl Future<Output = (Ended, String)>,
) -> Ended {
    let near = WebSocketStream::from_raw_socket(client, Role::Server, Some(config())).await;
    let (mut to_client, mut from_client) = near.split();
    let last = Cell::new(Instant::now());
    let input_ended = Cell::new(false);
    let (ended, words) = {
        let (mut writing, mut reading) = match far {
            Far::WebSocket(connection) => {
                let far = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config())).await;
                let (sink, stream) = far.split();
                (Writing::Messages(sink), Reading::Messages(stream))
            }
            Far::Bytes(connection) => {
                let (reading, writing) = tokio::io::split(connection);
                (Writing::Bytes(writing), Reading::Bytes(reading))
            }
        };
        let onwards = async {
            loop {
                let message = match from_client.next().await {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return ended(&error),
                    None => return Ended::Broken,
                };
                // A ping says that somebody is there, not that they have something to say.
                if !message.is_ping() && !message.is_pong() {
                    last.set(Instant::now());
                }
                if spoken.lacks_end_of_input && is_end(&message) {
                    input_ended.set(true);
                    continue;
                }
                match writing.send(message).await {
                    Ok(true) => {}
                    Ok(false) => return Ended::Closed,
                    Err(_) => return Ended::Broken,
                }
            }
        };
        let back = async {
            loop {
                let message = match reading.next().await {
                    Ok(Some(message)) => message,
                    Ok(None) => return Ended::Closed,
                    Err(error) => return ended(&error),
                };
                last.set(Instant::now());
                let over = message.is_close();
                match to_client.send(message).await {
                    Ok(()) if !over => {}
                    Ok(()) => return Ended::Closed,
                    Err(error) => return ended(&error),
                }
            }
        };
        let silence = async {
            loop {
                let patience = if input_ended.get() { AFTER_INPUT } else { idle };
                let silent = last.get().elapsed();
                if silent >= patience {
                    return if input_ended.get() { Ended::InputEnded } else { Ended::Idle };
                }
                tokio::time::sleep((patience - silent).min(AFTER_INPUT)).await;
            }
        };
        tokio::select! {
            biased;
            (ended, words) = cut => (ended, Some(words)),
            ended = onwards => (ended, None),
            ended = back => (ended, None),
            ended = silence => (ended, None),
        }
        // The cluster's end is dropped here: what it had not been given, it never gets.
    };
    drop(from_client);
    let told = tell(&mut to_client, ended, words, spoken);
    drop(tokio::time::timeout(LAST_WORDS, told).await);
    ended
}

/// Tells the client why its tunnel ends.
async fn tell<C: AsyncRead + AsyncWrite + Unpin>(
    client: &mut SplitSink<WebSocketStream<C>, Message>,
    ended: Ended,
    words: Option<String>,
    spoken: Spoken,
) {
    let (code, words) = match ended {
        Ended::Closed => (CloseCode::Normal, None),
        Ended::Broken => (CloseCode::Error, None),
        Ended::Unreadable => (CloseCode::Size, Some("a message was too long, or none at all".to_owned())),
        Ended::Idle => (CloseCode::Away, Some("nothing was said for too long".to_owned())),
        // Closed as usual: what a client of a command reads then is the error stream.
        Ended::InputEnded => (
            CloseCode::Normal,
            Some(
                "this cluster's Kubernetes is too old (v4.channel.k8s.io) to be told that the input has ended, and the \
                 command went on without a word; it was ended"
                    .to_owned(),
            ),
        ),
        Ended::Revoked => (CloseCode::from(REVOKED), words),
        Ended::Unconfirmed => (CloseCode::Again, words),
        Ended::Stopping => (CloseCode::Away, words),
    };
    if let Some(words) = words.as_ref().filter(|_| spoken.has_error_stream) {
        let reason = match ended {
            Ended::Revoked => "Unauthorized",
            Ended::Unconfirmed => "ServiceUnavailable",
            _ => "Timeout",
        };
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
            "message": words,
        });
        let mut message = vec![ERRORS];
        message.extend(status.to_string().into_bytes());
        drop(client.send(Message::binary(message)).await);
    }
    // A close frame has room for 123 bytes of reason.
    let reason = words.unwrap_or_default();
    let reason = kv_authz::audit::clip(&reason, 120).0.to_owned();
    drop(client.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await);
    drop(client.flush().await);
}

fn ended(error: &Error) -> Ended {
    match error {
        Error::ConnectionClosed => Ended::Closed,
        Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => Ended::Unreadable,
        _ => Ended::Broken,
    }
}

fn is_end(message: &Message) -> bool {
    matches!(message, Message::Binary(bytes) if bytes.first() == Some(&END_OF))
}

enum Writing {
    Messages(SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>),
    Bytes(WriteHalf<TokioIo<Upgraded>>),
}

impl Writing {
    /// Sends a message on; false once it was the last.
    async fn send(&mut self, message: Message) -> Result<bool, Error> {
        match (self, message) {
            // Answered where they arrive.
            (_, Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(true),
            (Self::Messages(sink), message) => {
                let over = message.is_close();
                sink.send(message).await?;
                Ok(!over)
            }
            (Self::Bytes(_), Message::Close(_)) => Ok(false),
            (Self::Bytes(far), message) => {
                far.write_all(&message.into_data()).await?;
                far.flush().await?;
                Ok(true)
            }
        }
    }
}

enum Reading {
    Messages(futures_util::stream::SplitStream<WebSocketStream<TokioIo<Upgraded>>>),
    Bytes(ReadHalf<TokioIo<Upgraded>>),
}

impl Reading {
    /// The next message; none at the end.
    async fn next(&mut self) -> Result<Option<Message>, Error> {
        match self {
            Self::Messages(stream) => loop {
                match stream.next().await.transpose()? {
                    Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    message => return Ok(message),
                }
            },
            Self::Bytes(far) => {
                let mut bytes = Vec::with_capacity(32 * 1024);
                let read = far.read_buf(&mut bytes).await?;
                Ok((read > 0).then(|| Message::Binary(Bytes::from(bytes))))
            }
        }
    }
}
