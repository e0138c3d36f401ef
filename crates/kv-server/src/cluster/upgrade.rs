//! Connections that are switched over to another protocol: a WebSocket, or the older SPDY, whose bytes are carried and never
//! looked at.
//!
//! What answers anything but the switch that was asked for has not switched, and its connection goes no further
//! (CVE-2018-1002105).

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::{
    call::Call,
    upstream::{Opened, Upstream, UpstreamError},
};

/// What a connection is to be switched to.
#[derive(Debug, Clone, Copy)]
pub enum Upgrade<'a> {
    /// A WebSocket (RFC 6455) that speaks one of these, the best first.
    WebSocket(&'a [&'static str]),
    /// SPDY/3.1, as Kubernetes spoke it before, for this.
    Spdy(&'static str),
}

/// Whether the cluster switched.
#[derive(Debug)]
pub enum Switched {
    /// It did, and speaks this.
    To {
        /// The connection.
        connection: TokioIo<Upgraded>,
        /// What is spoken on it, of what was offered.
        protocol: &'static str,
    },
    /// It answered instead.
    Answered(Opened),
}

impl Upstream {
    /// Asks the cluster to switch.
    ///
    /// # Errors
    /// [`UpstreamError`]; one that switched to what nobody offered is no Kubernetes.
    pub async fn upgrade(
        &self,
        call: &Call,
        upgrade: Upgrade<'_>,
        patience: Duration,
    ) -> Result<Switched, UpstreamError> {
        let key = generate_key();
        let head = call.head().header(header::CONNECTION, "Upgrade");
        let head = match upgrade {
            Upgrade::WebSocket(protocols) => head
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, &key)
                .header(header::SEC_WEBSOCKET_PROTOCOL, protocols.join(", ")),
            Upgrade::Spdy(protocol) => {
                head.header(header::UPGRADE, "SPDY/3.1").header("X-Stream-Protocol-Version", protocol)
            }
        };
        let request = head.body(Body::empty()).map_err(|error| UpstreamError::Setup(error.into()))?;
        let switch = async {
            let response = self.request(request).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Switched::Answered(Opened::of(response)));
            }
            let says = |name: &str| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            let is = |name, expected: &str| says(name).is_some_and(|value| value.eq_ignore_ascii_case(expected));
            let protocol = match upgrade {
                Upgrade::WebSocket(protocols)
                    if is("upgrade", "websocket")
                        && says("sec-websocket-accept") == Some(derive_accept_key(key.as_bytes()).as_str()) =>
                {
                    protocols.iter().copied().find(|known| says("sec-websocket-protocol") == Some(known))
                }
                Upgrade::Spdy(protocol) if is("upgrade", "SPDY/3.1") => Some(protocol),
                _ => None,
            };
            let protocol = protocol.ok_or(UpstreamError::NotKubernetes)?;
            let upgraded = hyper::upgrade::on(response).await.map_err(|error| UpstreamError::Broken(error.into()))?;
            Ok(Switched::To { connection: TokioIo::new(upgraded), protocol })
        };
        tokio::time::timeout(patience, switch).await.unwrap_or(Err(UpstreamError::Timeout))
    }
}
