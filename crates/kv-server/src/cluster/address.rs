//! Which addresses a cluster may live at: private networks yes, this machine and its link only if the operator says so.
//!
//! The check is made on the address that is connected to, never on a name: what a name resolves to is filtered, and the
//! connection goes to what passed. Nothing here asks a name twice, so an answer that changes in between changes nothing.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    vec,
};

use futures_util::FutureExt;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::{BoxError, Service};

/// An entry of the operator's list is no address and no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an allowed address must be an IP address or a network such as 127.0.0.0/8")]
pub struct InvalidNetwork;

/// The cluster's address is one that only the operator may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's address is a {kind} address, which the operator has not allowed")]
pub struct RefusedAddress {
    /// What kind of address it is.
    pub kind: &'static str,
}

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(base) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(base) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let base: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| InvalidNetwork)?
            }
            Some(_) => return Err(InvalidNetwork),
        };
        if prefix > longest { Err(InvalidNetwork) } else { Ok(Self { base, prefix }) }
    }
}

/// Some addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// From their written forms: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
    ///
    /// # Errors
    /// [`InvalidNetwork`].
    pub fn new<T: AsRef<str>>(written: impl IntoIterator<Item = T>) -> Result<Self, InvalidNetwork> {
        Ok(Self(written.into_iter().map(|entry| entry.as_ref().parse()).collect::<Result<_, _>>()?))
    }

    /// Whether the address is among them.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Networks,
}

impl AddressPolicy {
    /// The policy with the operator's list of addresses and networks that are allowed although they are special.
    ///
    /// # Errors
    /// [`InvalidNetwork`] if an entry is neither.
    pub fn new<T: AsRef<str>>(allowed: impl IntoIterator<Item = T>) -> Result<Self, InvalidNetwork> {
        Ok(Self { allowed: Networks::new(allowed)? })
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// [`RefusedAddress`] with its kind.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        let real = embedded(address);
        let Some(kind) = special(real) else { return Ok(()) };
        if self.allowed.contain(address) || self.allowed.contain(real) { Ok(()) } else { Err(RefusedAddress { kind }) }
    }
}

/// The IPv4 address that an IPv6 one stands for, where it does: what the packets arrive at is what counts.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let low = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff | 0] if v6 != Ipv6Addr::LOCALHOST && v6 != Ipv6Addr::UNSPECIFIED => low.into(),
        // NAT64 and 6to4 carry the address onwards.
        [0x64, 0xff9b, 0, 0, 0, 0] => low.into(),
        [0x2002, ..] => Ipv4Addr::from((u32::from(b) << 16) | u32::from(c)).into(),
        _ => address,
    }
}

/// The kind of an address that is not simply a machine in a network.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => Some("unspecified"),
            [127, ..] => Some("loopback"),
            [169, 254, ..] => Some("link-local"),
            [224..=239, ..] => Some("multicast"),
            [240..=255, ..] => Some("reserved"),
            // Where clouds answer their guests outside the link-local range.
            [168, 63, 129, 16] | [100, 100, 100, 200] => Some("metadata"),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0xfe80..=0xfebf, ..] => Some("link-local"),
            [0xff00..=0xffff, ..] => Some("multicast"),
            [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Some("metadata"),
            _ if v6.is_loopback() => Some("loopback"),
            _ if v6.is_unspecified() => Some("unspecified"),
            _ => None,
        },
    }
}

/// The system's resolver, with only those of its answers that may be connected to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    policy: AddressPolicy,
}

impl Resolver {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self { system: GaiResolver::new(), policy }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::poll_ready(&mut self.system, context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy.clone();
        let answer = Service::call(&mut self.system, name);
        async move { passed(&policy, answer.await?) }.boxed()
    }
}

/// Those of the addresses that the policy allows; its refusal if there is none.
fn passed(
    policy: &AddressPolicy,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<vec::IntoIter<SocketAddr>, BoxError> {
    let mut refused = None;
    let passed: Vec<_> = found
        .filter(|address| policy.check(address.ip()).inspect_err(|error| refused = Some(*error)).is_ok())
        .collect();
    match (passed.is_empty(), refused) {
        (false, _) => Ok(passed.into_iter()),
        (true, Some(refused)) => Err(refused.into()),
        (true, None) => Err(io::Error::from(io::ErrorKind::NotFound).into()),
    }
}

/// A connector that also checks addresses written in the URL, which no resolver is asked about.
#[derive(Debug, Clone)]
pub(super) struct Checked<C> {
    inner: C,
    policy: AddressPolicy,
}

impl<C> Checked<C> {
    pub(super) fn new(inner: C, policy: AddressPolicy) -> Self {
        Self { inner, policy }
    }
}

impl<C> Service<http::Uri> for Checked<C>
where
    C: Service<http::Uri>,
    C::Error: Into<BoxError>,
    C::Response: Send + 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal
            && let Err(refused) = self.policy.check(address)
        {
            return std::future::ready(Err(refused.into())).boxed();
        }
        self.inner.call(uri).map(|answer| answer.map_err(Into::into)).boxed()
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
