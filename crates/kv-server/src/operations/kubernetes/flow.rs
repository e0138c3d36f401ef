//! Answers that flow through: piece by piece, as the cluster sends and the client takes them, so that an answer of any length
//! costs the same memory.
//!
//! A flow that ends before its end is never taken for whole: its pieces stop without [`Piece::End`]. Events are handed on
//! line by line where they must be looked into, as they come where not.

use super::effect::{SendError, cut};
use crate::{
    admission::{Guard, Interruption},
    cluster::{Opened, UpstreamError, mask},
    held::LAST_WORDS,
    upstreams::failure as unanswered,
};
use actix_web::web::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use kv_authz::{Unusable, audit::Finish};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Up to here an answer is taken whole, for a short one is quicker so.
const SHORT: usize = 64 * 1024;
/// The longest event that is looked into: an object as long as a cluster stores, written out as JSON, with room to spare.
const LONGEST_EVENT: usize = 16 * 1024 * 1024;
/// How long the ends of a cut credential's clients are waited for at most before the cluster's half ends. A client that does not
/// read is over sooner: its socket is closed.
const CLIENTS_FIRST: Duration = LAST_WORDS.saturating_mul(5);
/// Pieces on their way to the client.
const ON_THE_WAY: usize = 4;

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// Some bytes.
    Data(Bytes),
    /// There are no more.
    End,
}

/// The pieces of a body, as they come.
#[derive(Debug)]
pub struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    /// Tells, when it is dropped, that nobody reads any more.
    _reader: oneshot::Sender<()>,
}

impl Pieces {
    #[cfg(test)]
    pub(crate) fn of(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, _reader: oneshot::channel().0 }
    }

    /// The next piece; none where they stop without their end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.pieces.poll_recv(context)
    }

    /// The same, waiting for it.
    pub async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

/// What a body says of its own when it is cut. Beside the pieces, which may wait in their queue then and pass no more.
pub type LastWords = oneshot::Receiver<Bytes>;

/// How long and how far an answer may flow.
#[derive(Debug, Clone)]
pub struct FlowLimits {
    /// Between two pieces of an answer that ends by itself.
    pub patience: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// All pieces of an answer together, in bytes.
    pub bytes: u64,
    /// Cancelled when streams are to end, whatever there would still be to tell.
    pub stopping: CancellationToken,
}

/// Lines of several answers, as they come, and one `None` at the end of each.
type Lines = stream::SelectAll<stream::LocalBoxStream<'static, Result<Option<Bytes>, UpstreamError>>>;

/// An answer that begins to flow.
pub(super) struct Flow {
    begun: Bytes,
    source: Source,
}

enum Source {
    /// An answer that ends by itself.
    Answer(Opened),
    /// A stream whose pieces pass as they are.
    Stream(Opened),
    /// Events that are looked into, of one watch or of several.
    Events { lines: Lines, mask: bool, merged: bool },
}

/// An answer whose beginning has been read.
pub(super) enum Beginning {
    /// It was short.
    Whole(Bytes),
    /// There is more.
    Flowing(Flow),
}

/// Reads the beginning of an answer that ends by itself.
pub(super) async fn begin(mut opened: Opened, limits: &FlowLimits) -> Result<Beginning, UpstreamError> {
    let next = async |opened: &mut Opened| {
        tokio::time::timeout(limits.patience, opened.piece()).await.unwrap_or(Err(UpstreamError::Timeout))
    };
    let Some(first) = next(&mut opened).await? else { return Ok(Beginning::Whole(Bytes::new())) };
    if opened.length() == Some(0) {
        return Ok(Beginning::Whole(first));
    }
    let mut begun = BytesMut::from(first);
    while begun.len() < SHORT {
        match next(&mut opened).await? {
            Some(piece) => begun.extend_from_slice(&piece),
            None => return Ok(Beginning::Whole(begun.freeze())),
        }
    }
    Ok(Beginning::Flowing(Flow { begun: begun.freeze(), source: Source::Answer(opened) }))
}

/// The media type to answer with; none for what a cluster does not answer with. What runs in a cluster may send anything,
/// and is passed on as bytes that no browser takes for a page.
pub(super) fn content_type(opened: &Opened, proxied: bool) -> Option<String> {
    let media_type = opened.media_type();
    let known = matches!(
        media_type.as_str(),
        // Older clusters call their schemas mere bytes.
        "application/json"
            | "application/yaml"
            | "text/plain"
            | "application/octet-stream"
            | "application/vnd.kubernetes.protobuf"
    ) || media_type.starts_with("application/com.github.proto-openapi.spec.");
    match (known, proxied) {
        (true, _) => opened.content_type.clone(),
        (false, true) => Some("application/octet-stream".to_owned()),
        // The log of a container that has not written anything has no type.
        (false, false) if media_type.is_empty() && opened.status.is_success() => Some("text/plain".to_owned()),
        (false, false) => None,
    }
}

impl Flow {
    /// A stream, passed on as it comes.
    pub(super) fn follow(opened: Opened) -> Self {
        Self { begun: Bytes::new(), source: Source::Stream(opened) }
    }

    /// Events of one or several watches, looked into one by one.
    pub(super) fn events(parts: Vec<Opened>, mask: bool, merged: bool) -> Self {
        let lines = stream::select_all(parts.into_iter().map(|part| lines(part).boxed_local()));
        Self { begun: Bytes::new(), source: Source::Events { lines, mask, merged } }
    }

    /// The pieces for the client, its last words, and the work that brings them.
    pub(super) fn start(self, limits: &FlowLimits) -> (Pieces, LastWords, Running) {
        let ((send, pieces), (tell, words)) = (mpsc::channel(ON_THE_WAY), oneshot::channel());
        let (reader, read) = oneshot::channel();
        let running = Running { flow: self, limits: limits.clone(), out: Out(send), tell, read };
        (Pieces { pieces, _reader: reader }, words, running)
    }
}

/// A flow on its way.
pub(super) struct Running {
    flow: Flow,
    limits: FlowLimits,
    out: Out,
    tell: oneshot::Sender<Bytes>,
    /// Over when the client's half is.
    read: oneshot::Receiver<()>,
}

/// The way to the client.
struct Out(mpsc::Sender<Piece>);

impl Out {
    /// False once nobody reads any more.
    async fn data(&self, piece: Bytes) -> bool {
        self.0.send(Piece::Data(piece)).await.is_ok()
    }
}

impl Running {
    /// Brings the pieces until there are no more, nobody reads them, or the credential ends; and tells how it ended.
    pub(super) async fn run(self, guard: &Guard, read_only: bool) -> Finish {
        // The source, the cluster's half, stays to the end of this. The way to the client does not.
        let Self { flow: Flow { begun, mut source }, limits, out, tell, read } = self;
        let client = guard.client();
        let done = guard.unless_revoked(pass(&mut source, begun, &limits, out)).await;
        match done {
            Ok(Ok(())) => Finish::with_status(200),
            Ok(Err(error)) => match error {
                SendError::Unanswered(error) => unanswered(error).finish(),
                SendError::Failed(failure, _) => failure.finish(),
                SendError::Refused(..) => Finish::with_status(502),
            },
            Err(why) => {
                // Where nobody waits for them, the stream is none of events.
                drop(tell.send(farewell(why)));
                // Clients first, those of all its streams: what the cluster has to do at the end of each, and this server, would
                // keep the others waiting.
                let told = async {
                    let _ = read.await;
                    drop(client);
                    guard.clients_gone().await;
                };
                let _ = tokio::time::timeout(CLIENTS_FIRST, told).await;
                cut(why, read_only)
            }
        }
    }
}

/// The last event of a watch that is cut (`watch.Event` of Kubernetes).
fn farewell(why: Interruption) -> Bytes {
    let (code, reason) = match why {
        Interruption::Refused(_) => (401, "Unauthorized"),
        Interruption::Unconfirmed => (503, "ServiceUnavailable"),
    };
    let event = serde_json::json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": last_words(why),
    }});
    Bytes::from(format!("{event}\n"))
}

/// Why a stream is cut, in words for its reader.
pub(super) fn last_words(why: Interruption) -> String {
    match why {
        Interruption::Refused(Unusable::Expired) => "the credential has expired",
        Interruption::Refused(_) => "the credential was revoked, or its owner may no longer do this",
        Interruption::Unconfirmed => "this server has lost touch with its database; try again",
    }
    .to_owned()
}

async fn pass(source: &mut Source, begun: Bytes, limits: &FlowLimits, out: Out) -> Result<(), SendError> {
    let patience = if matches!(source, Source::Answer(_)) { limits.patience } else { limits.idle };
    match source {
        Source::Answer(opened) => {
            let mut total = begun.len() as u64;
            let mut piece = Some(begun);
            while let Some(bytes) = piece {
                if !out.data(bytes).await {
                    return Ok(());
                }
                piece = next(opened, patience).await?;
                total += piece.as_ref().map_or(0, Bytes::len) as u64;
                if total > limits.bytes {
                    return Err(UpstreamError::TooLarge.into());
                }
            }
        }
        Source::Stream(opened) => loop {
            let piece = tokio::select! {
                piece = next(opened, patience) => piece?,
                () = out.0.closed() => return Ok(()),
                () = limits.stopping.cancelled() => break,
            };
            let Some(piece) = piece else { break };
            if !out.data(piece).await {
                return Ok(());
            }
        },
        Source::Events { lines, mask, merged } => loop {
            let line = tokio::select! {
                line = tokio::time::timeout(patience, lines.next()) => {
                    line.map_err(|_| SendError::from(UpstreamError::Timeout))?
                }
                () = out.0.closed() => return Ok(()),
                () = limits.stopping.cancelled() => break,
            };
            // Of several watches the first that ends ends them all: its client begins anew.
            let Some(Some(line)) = line.transpose()? else { break };
            if *merged && is_bookmark(&line) {
                continue;
            }
            let line = match *mask {
                false => line,
                true => mask::mask_event(&line).map(Bytes::from).map_err(|error| {
                    let failure = crate::failure::Failure::internal("masking a Secret", error);
                    SendError::Failed(failure, super::effect::Done::Yes)
                })?,
            };
            if !out.data(line).await {
                return Ok(());
            }
        },
    }
    drop(out.0.send(Piece::End).await);
    Ok(())
}

async fn next(opened: &mut Opened, patience: Duration) -> Result<Option<Bytes>, UpstreamError> {
    tokio::time::timeout(patience, opened.piece()).await.unwrap_or(Err(UpstreamError::Timeout))
}

/// A bookmark speaks of one of the watches, and would be taken for one of all.
fn is_bookmark(line: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Event<'_>>(line).is_ok_and(|event| event.kind == "BOOKMARK")
}

/// The lines of an answer, and one `None` at its end.
fn lines(opened: Opened) -> impl stream::Stream<Item = Result<Option<Bytes>, UpstreamError>> {
    stream::unfold((Some(opened), BytesMut::new()), |(opened, mut buffer)| async move {
        let mut opened = opened?;
        let mut searched = 0;
        loop {
            if let Some(at) = buffer.iter().skip(searched).position(|&byte| byte == b'\n') {
                let line = buffer.split_to(searched + at + 1).freeze();
                return Some((Ok(Some(line)), (Some(opened), buffer)));
            }
            searched = buffer.len();
            if searched > LONGEST_EVENT {
                return Some((Err(UpstreamError::TooLarge), (None, buffer)));
            }
            match opened.piece().await {
                Ok(Some(piece)) => buffer.extend_from_slice(&piece),
                Ok(None) if buffer.is_empty() => return Some((Ok(None), (None, buffer))),
                Ok(None) => return Some((Err(UpstreamError::NotKubernetes), (None, buffer))),
                Err(error) => return Some((Err(error), (None, buffer))),
            }
        }
    })
}
