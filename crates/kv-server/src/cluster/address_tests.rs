//! Addresses in all their spellings.

use super::*;

fn refused(policy: &AddressPolicy, address: &str) -> Option<&'static str> {
    policy.check(address.parse().unwrap()).err().map(|error| error.kind)
}

#[test]
fn private_and_public_addresses_are_allowed() {
    let policy = AddressPolicy::default();
    for address in ["10.0.0.1", "172.16.3.4", "192.168.1.1", "1.1.1.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"] {
        assert_eq!(refused(&policy, address), None, "{address}");
    }
}

#[test]
fn attack_160_special_addresses_in_every_spelling_are_refused() {
    let policy = AddressPolicy::default();
    for (address, kind) in [
        ("127.0.0.1", "loopback"),
        ("127.255.1.2", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:a9fe:a9fe", "link-local"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
    ] {
        assert_eq!(refused(&policy, address), Some(kind), "{address}");
    }
}

#[test]
fn the_operator_may_list_addresses_and_networks() {
    let one = AddressPolicy::new(["127.0.0.1"]).unwrap();
    assert_eq!(refused(&one, "127.0.0.1"), None);
    assert_eq!(refused(&one, "::ffff:127.0.0.1"), None);
    assert_eq!(refused(&one, "127.0.0.2"), Some("loopback"));
    assert_eq!(refused(&one, "169.254.169.254"), Some("link-local"));
    let network = AddressPolicy::new(["127.0.0.0/8", "::1", "fe80::/10"]).unwrap();
    assert_eq!(refused(&network, "127.9.9.9"), None);
    assert_eq!(refused(&network, "::1"), None);
    assert_eq!(refused(&network, "fe90::1"), None);
    let all = AddressPolicy::new(["0.0.0.0/0", "::/0"]).unwrap();
    assert_eq!(refused(&all, "169.254.169.254"), None);
}

#[test]
fn entries_that_are_no_networks() {
    for entry in ["", "localhost", "127.0.0.1/33", "::1/129", "127.0.0.1/", "127.0.0.1/+8", "127.1", "0x7f.0.0.1"] {
        assert_eq!(AddressPolicy::new([entry]), Err(InvalidNetwork), "{entry:?}");
    }
}

#[test]
fn attack_160_of_a_names_answers_only_the_allowed_are_connected_to() {
    let policy = AddressPolicy::default();
    let found: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()];
    assert_eq!(passed(&policy, found.into_iter()).unwrap().collect::<Vec<_>>(), ["10.0.0.1:0".parse().unwrap()]);
    let found: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    assert!(passed(&policy, found.into_iter()).unwrap_err().is::<RefusedAddress>());
}

#[tokio::test]
async fn attack_160_a_name_of_this_machine_is_refused_in_the_resolver() {
    let mut resolver = Resolver::new(AddressPolicy::default());
    for name in ["localhost", "127.1", "2130706433", "0x7f000001"] {
        let refused = resolver.call(name.parse().unwrap()).await;
        // Some systems do not know these spellings at all: that is a refusal too.
        assert!(refused.is_err(), "{name}");
    }
    let mut resolver = Resolver::new(AddressPolicy::new(["127.0.0.0/8", "::1"]).unwrap());
    assert!(resolver.call("localhost".parse().unwrap()).await.is_ok());
}
