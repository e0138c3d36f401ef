//! Answers of a played cluster that go on: endless ones, and WebSockets that send back what they are sent.

use futures_util::{SinkExt, StreamExt};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// How an answer is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// At once.
    Whole,
    /// Its body again and again.
    Endless(Duration),
    /// By switching to a WebSocket.
    WebSocket(&'static str),
}

/// What became of the streams of a played cluster.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// How many are open.
    pub open: usize,
    /// How many were ended by the other side.
    pub ended: usize,
    /// Bytes of answers that were taken from it.
    pub sent: u64,
    /// Messages that arrived.
    pub messages: Vec<Vec<u8>>,
}

/// Where it is noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Streams>>);

impl Notes {
    pub(crate) fn read(&self) -> Streams {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, change: impl FnOnce(&mut Streams)) {
        change(&mut self.0.lock().unwrap());
    }

    fn ended(&self) {
        self.note(|streams| {
            streams.open -= 1;
            streams.ended += 1;
        });
    }
}

/// Sends a piece again and again, until the other side has enough.
pub(crate) async fn endless(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &str,
    piece: &str,
    every: Duration,
    notes: Notes,
) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
    notes.note(|streams| streams.open += 1);
    let noted = notes.clone();
    let send = async move {
        writing.write_all(head.as_bytes()).await?;
        loop {
            writing.write_all(chunk.as_bytes()).await?;
            writing.flush().await?;
            noted.note(|streams| streams.sent += piece.len() as u64);
            if !every.is_zero() {
                tokio::time::sleep(every).await;
            }
        }
        #[expect(unreachable_code, reason = "says what goes wrong")]
        std::io::Result::Ok(())
    };
    let gone = async {
        let mut buffer = [0; 64];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    };
    tokio::select! {
        _ = send => {}
        () = gone => {}
    }
    notes.ended();
}

/// Switches to a WebSocket and sends back what it is sent.
pub(crate) async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str, notes: Notes) {
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    notes.note(|streams| streams.open += 1);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = &message {
            notes.note(|streams| streams.messages.push(bytes.to_vec()));
        }
        if message.is_binary() && socket.send(message).await.is_err() {
            break;
        }
    }
    notes.ended();
}
