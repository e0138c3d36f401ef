//! Tunnels: a command run in a container, its input and output, a pod's ports. The connection to the cluster is switched
//! over first; only then is the client's.
//!
//! kubectl 1.31 and newer speak `v5.channel.k8s.io`, which older clusters do not know; they are spoken to in `v4`, which is
//! the same but for the end of the input. kubectl's port-forward puts SPDY into a WebSocket; an older cluster is given the
//! SPDY alone. The bytes of it are not looked at.

use super::{
    Answer, Plan, Wanted, Work, begin,
    effect::{self, SendError},
    flow, wanted,
};
use crate::{
    admission::Interruption,
    caller::Caller,
    cluster::{
        Call, Switched, Upgrade, UpstreamError,
        tunnel::{Ended, Far, Spoken, carry},
    },
    failure::Failure,
    upstreams::{Connection, Upstreams},
    view::View,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kv_authz::{
    EntryId, Subresource,
    audit::{Finish, Outcome},
    kubernetes::authorize_kubernetes,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";
/// kubectl's port-forward: SPDY within a WebSocket.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// The same protocol, on a connection that is SPDY itself.
const PORT_FORWARD: &str = "portforward.k8s.io";
const STREAMS: [&str; 5] = [V5, V4, "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
const PORTS: [&str; 3] = [TUNNELLED, V4, "v4.base64.channel.k8s.io"];

/// What a client that wants a WebSocket can speak on it.
#[derive(Debug, Clone, Default)]
pub struct Offer(Vec<&'static str>);

impl Offer {
    /// Reads `Sec-WebSocket-Protocol`, for a part of an object.
    ///
    /// # Errors
    /// [`Failure::Invalid`] where nothing is offered that is spoken here, or nothing is to be spoken with that part.
    pub fn parse(field: &str, part: Option<&Subresource>) -> Result<Self, Failure> {
        let known: &[&'static str] = match part {
            Some(Subresource::Exec | Subresource::Attach) => &STREAMS,
            Some(Subresource::PortForward) => &PORTS,
            _ => &[],
        };
        if known.is_empty() {
            let detail = "Only exec, attach and portforward can be had as a WebSocket here.";
            return Err(Failure::invalid("upgrade_refused", detail));
        }
        let offered = field.split(',').map(str::trim);
        let both: Vec<&'static str> =
            offered.filter_map(|name| known.iter().copied().find(|known| *known == name)).collect();
        if both.is_empty() {
            let detail = format!("Offer one of these in `Sec-WebSocket-Protocol`: {}.", known.join(", "));
            return Err(Failure::invalid("upgrade_refused", detail));
        }
        Ok(Self(both))
    }
}

/// What came of asking for a tunnel.
#[derive(Debug)]
pub enum Tunnel {
    /// It is open, and this is spoken.
    Open(&'static str),
    /// The cluster answered instead.
    Answered(Answer),
}

/// Opens a tunnel and carries what the client says, once it has been told what is spoken.
///
/// # Errors
/// [`Failure`], before anything was switched over.
pub async fn open_tunnel<C: AsyncRead + AsyncWrite + Unpin + 'static>(
    caller: &Caller,
    upstreams: &Upstreams,
    wanted: Wanted,
    offer: Offer,
    client: C,
) -> Result<Tunnel, Failure> {
    let Work { connection, plan, begun } = begin(caller, upstreams, &wanted).await?;
    let (guard, id) = (caller.guard().clone(), caller.id());
    let (tell, told) = oneshot::channel();
    drop(actix_web::rt::spawn(async move {
        let sent = guard.unless_revoked(switch(&connection, &plan, &offer, id)).await;
        let refuse = |sent, begun| effect::finish(sent, false, plan.native, begun).map(Tunnel::Answered);
        let (protocol, far, spoken) = match sent {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return drop(tell.send(refuse(Ok(Err(error)), begun))),
            Err(why) => return drop(tell.send(refuse(Err(why), begun))),
        };
        drop(tell.send(Ok(Tunnel::Open(protocol))));
        let limits = connection.streaming();
        let cut = async {
            tokio::select! {
                biased;
                why = guard.interrupted() => match why {
                    Interruption::Refused(_) => (Ended::Revoked, flow::last_words(why)),
                    Interruption::Unconfirmed => (Ended::Unconfirmed, flow::last_words(why)),
                },
                () = limits.stopping.cancelled() => (Ended::Stopping, "this server is being stopped".to_owned()),
            }
        };
        let ended = carry(client, far, spoken, limits.idle, cut).await;
        begun.end(match ended {
            Ended::Revoked | Ended::Unconfirmed => effect::cut(guard.why(), false),
            Ended::Unreadable => Finish { outcome: Outcome::Failed, ..Finish::with_status(400) },
            Ended::Closed | Ended::Broken | Ended::Idle | Ended::InputEnded | Ended::Stopping => {
                Finish::with_status(101)
            }
        });
    }));
    told.await.map_err(|error| Failure::internal("a tunnel into a cluster", error))?
}

/// Refuses SPDY, which the server below does not hand on, to those who might have had the tunnel.
///
/// # Errors
/// Always a [`Failure`]: that the caller may not do this at all, or what to use instead.
pub async fn refuse_spdy(caller: &Caller, upstreams: &Upstreams, wanted: &Wanted) -> Result<(), Failure> {
    let part = wanted.part();
    caller.about(kv_authz::kubernetes::event(wanted.verb, part.as_ref()), wanted.about());
    let found = wanted::find(caller, upstreams, wanted).await?;
    let allowed = async |view: &View| {
        let target = found.goal.target(found.id, &found.name);
        authorize_kubernetes(&view.principal, &target, caller.app().policy(), caller.app().clock.now())?;
        Ok(())
    };
    caller.confirm(&allowed).await?;
    let detail = "SPDY is not spoken here; a WebSocket is. Use kubectl 1.31 or newer, and leave KUBECTL_REMOTE_COMMAND_\
                  WEBSOCKETS and KUBECTL_PORT_FORWARD_WEBSOCKETS on; client libraries have an option for WebSockets.";
    Err(Failure::invalid("websocket_required", detail))
}

type Opened = (&'static str, Far, Spoken);

async fn switch(connection: &Connection, plan: &Plan, offer: &Offer, id: EntryId) -> Result<Opened, SendError> {
    let call = plan.call(id);
    let tunnelled = offer.0.contains(&TUNNELLED);
    if tunnelled {
        match ask(connection, plan, &call, Upgrade::WebSocket(&[TUNNELLED])).await {
            Ok((stream, protocol)) => return Ok((protocol, Far::WebSocket(stream), Spoken::BYTES)),
            // It knows no such WebSocket: the SPDY within is what it speaks.
            Err(SendError::Refused(..) | SendError::Unanswered(UpstreamError::NotKubernetes)) => {
                let call = plan.call(id).with_method(http::Method::POST);
                let spdy = async || ask(connection, plan, &call, Upgrade::Spdy(PORT_FORWARD)).await;
                let (stream, _) = match spdy().await {
                    // It closes the connection on which it refused, maybe only now that this was sent on it. Nothing was
                    // forwarded yet: it may be asked again, once.
                    Err(SendError::Unanswered(UpstreamError::Broken(_))) => spdy().await?,
                    other => other?,
                };
                return Ok((TUNNELLED, Far::Bytes(stream), Spoken::BYTES));
            }
            Err(other) => return Err(other),
        }
    }
    let mut protocols = offer.0.clone();
    let translates = protocols.contains(&V5) && !protocols.contains(&V4);
    if translates {
        protocols.push(V4);
    }
    let (stream, protocol) = ask(connection, plan, &call, Upgrade::WebSocket(&protocols)).await?;
    let older = translates && protocol == V4;
    let told = if older { V5 } else { protocol };
    let is_command = plan.is_command();
    let spoken = Spoken { has_error_stream: is_command && matches!(protocol, V4 | V5), lacks_end_of_input: older };
    Ok((told, Far::WebSocket(stream), spoken))
}

impl Spoken {
    /// Nothing of what is carried is known.
    const BYTES: Self = Self { has_error_stream: false, lacks_end_of_input: false };
}

impl Plan {
    fn is_command(&self) -> bool {
        let wanted::Goal::Object(path) = &self.goal else { return false };
        matches!(path.subresource(), Some(Subresource::Exec | Subresource::Attach))
    }
}

async fn ask(
    connection: &Connection,
    plan: &Plan,
    call: &Call,
    upgrade: Upgrade<'_>,
) -> Result<(TokioIo<Upgraded>, &'static str), SendError> {
    match connection.upstream.upgrade(call, upgrade, connection.limits.time).await? {
        Switched::To { connection, protocol } => Ok((connection, protocol)),
        Switched::Answered(opened) if opened.status.as_u16() >= 400 => Err(plan.refused(connection, opened).await),
        // It did something else, and says that it went well.
        Switched::Answered(_) => Err(UpstreamError::NotKubernetes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_spoken_is_taken_from_an_offer() {
        let offer =
            |field, part| Offer::parse(field, Some(&part)).map(|offer| offer.0).map_err(|failure| failure.code());
        assert_eq!(offer("v5.channel.k8s.io, v4.channel.k8s.io", Subresource::Exec), Ok(vec![V5, V4]));
        assert_eq!(offer("chat,v4.channel.k8s.io", Subresource::Attach), Ok(vec![V4]));
        assert_eq!(offer(TUNNELLED, Subresource::PortForward), Ok(vec![TUNNELLED]));
        for (field, part) in [
            ("", Subresource::Exec),
            (TUNNELLED, Subresource::Exec),
            ("v5.channel.k8s.io", Subresource::PortForward),
            ("v4.channel.k8s.io", Subresource::Proxy),
        ] {
            assert_eq!(offer(field, part), Err("upgrade_refused"), "{field}");
        }
    }
}
