//! Refusals of keys that nobody has, counted together: those of one address that go to the database in one batch are one
//! entry. A flood of guesses then costs an entry a commit, and each guess as much time as before.
//!
//! Never here: a known key. Each of its refusals is an entry of its own.

use kv_authz::audit::Event;
use kv_store::admission::Request;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

/// What is counted together: who asks, and what they are answered.
type Subject = (Option<IpAddr>, u16);

fn subject(request: &Request) -> Option<Subject> {
    let refusal = request.basis.is_none() && request.entry.event == Event::AuthRefuse;
    let finish = request.finish.as_ref().filter(|_| refusal)?;
    Some((request.entry.origin.ip, finish.status))
}

/// The batch with such refusals put together, and for each request where in it its decision will be.
pub(super) fn together(requests: Vec<Request>) -> (Vec<Request>, Vec<usize>) {
    if requests.iter().filter_map(subject).nth(1).is_none() {
        let places = (0..requests.len()).collect();
        return (requests, places);
    }
    let mut batch: Vec<Request> = Vec::with_capacity(requests.len());
    let mut known = HashMap::new();
    let places = requests.into_iter().map(|request| {
        match subject(&request).map(|subject| known.entry(subject)) {
            Some(Entry::Occupied(place)) => {
                let place = *place.get();
                let first: &mut Request = &mut batch[place];
                first.count = first.count.saturating_add(request.count);
                return place;
            }
            Some(Entry::Vacant(free)) => {
                free.insert(batch.len());
            }
            None => {}
        }
        batch.push(request);
        batch.len() - 1
    });
    let places = places.collect();
    (batch, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_authz::{
        Actor, EntryId,
        audit::{Detail, Entry as AuditEntry, Finish, Origin, Target},
    };

    fn request(n: u8, event: Event, ip: &str) -> Request {
        Request {
            entry: AuditEntry {
                id: EntryId::from_parts(1, [n; 10]),
                actor: Actor::anonymous(),
                event,
                target: Target::default(),
                origin: Origin::new(Some(ip.parse().unwrap()), "curl/8", n.to_string()),
                detail: Detail::none(),
            },
            basis: None,
            finish: Some(Finish::with_status(401)),
            count: 1,
            audited: true,
        }
    }

    #[test]
    fn refusals_of_one_address_are_one_entry() {
        let (mine, theirs) = ("192.0.2.1", "192.0.2.2");
        let (batch, places) = together(vec![
            request(1, Event::AuthRefuse, mine),
            request(2, Event::AuthLogin, mine),
            request(3, Event::AuthRefuse, theirs),
            request(4, Event::AuthRefuse, mine),
            request(5, Event::AuthLogin, mine),
            request(6, Event::AuthRefuse, mine),
        ]);
        assert_eq!(places, [0, 1, 2, 0, 3, 0]);
        let counts: Vec<(&str, u32)> =
            batch.iter().map(|request| (&*request.entry.origin.request_id, request.count)).collect();
        assert_eq!(counts, [("1", 3), ("2", 1), ("3", 1), ("5", 1)]);
    }
}
