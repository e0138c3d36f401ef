//! The links between processes, databases, clusters and clients, and what befalls messages on them. Never what a message says.

use crate::{
    clock::{MS, Micros, S},
    counts::{Counts, Fault},
    random::Random,
};

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Away from the process: statements, effects. For clients: their requests.
    Out,
    /// Back to it: answers, notifications.
    Back,
}

/// A link, by what is at its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Database,
    Cluster,
    Client,
}

#[derive(Debug, Clone, Default)]
struct Link {
    /// Until when nothing passes, by direction.
    blocked: [Micros; 2],
    /// Until when messages are late, and by how much at most, by direction.
    slow: [(Micros, Micros); 2],
    last_reset: Micros,
    ever_reset: bool,
}

/// What is done to a link.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Reset,
    Slow { out: Micros, back: Micros, lasting: Micros },
    Blocked { out: bool, back: bool, lasting: Micros },
}

/// All links.
pub(crate) struct Network {
    links: Vec<[Link; 3]>,
    /// Whether messages are late now and then, without any fault that lasts.
    tails: bool,
}

impl Network {
    pub(crate) fn new(processes: usize, tails: bool) -> Self {
        Self { links: vec![Default::default(); processes], tails }
    }

    /// When a message that is sent now is there. None: it is lost.
    pub(crate) fn transit(
        &self,
        random: &mut Random,
        now: Micros,
        (process, end): (usize, End),
        way: Way,
    ) -> Option<Micros> {
        let link = &self.links[process][end as usize];
        let mut takes = random.between(30, 200);
        if self.tails && random.chance(4) {
            takes += random.between(5 * MS, 60 * MS);
        }
        let (slow_until, by) = link.slow[way as usize];
        if now < slow_until {
            takes += random.between(by / 3, by);
        }
        let blocked = link.blocked[way as usize];
        if now < blocked {
            // It is sent again and again until the link is whole, though its sender may have given up long ago.
            return random.chance(700).then(|| blocked + takes + random.between(0, 200 * MS));
        }
        Some(now + takes)
    }

    /// Whether a message sent at a time was lost because the link was reset meanwhile.
    pub(crate) fn was_reset_since(&self, sent: Micros, (process, end): (usize, End)) -> bool {
        let link = &self.links[process][end as usize];
        link.ever_reset && link.last_reset >= sent
    }

    /// Whether anything sent now does not pass.
    pub(crate) fn is_blocked(&self, now: Micros, (process, end): (usize, End)) -> bool {
        self.links[process][end as usize].blocked.iter().any(|until| now < *until)
    }

    /// Until when there is trouble on a link.
    pub(crate) fn befalls(&mut self, now: Micros, (process, end): (usize, End), trouble: Trouble, counts: &mut Counts) {
        let link = &mut self.links[process][end as usize];
        match trouble {
            Trouble::Reset => {
                (link.last_reset, link.ever_reset) = (now, true);
                counts.fault(Fault::Reset);
            }
            Trouble::Slow { out, back, lasting } => {
                link.slow = [(now + lasting, out), (now + lasting, back)];
                counts.fault(Fault::Delay);
            }
            Trouble::Blocked { out, back, lasting } => {
                for (until, chosen) in link.blocked.iter_mut().zip([out, back]) {
                    if chosen {
                        *until = (*until).max(now + lasting);
                    }
                }
                counts.fault(match (out, back) {
                    (true, true) => Fault::Partition,
                    (true, false) => Fault::OneWay,
                    _ => Fault::HalfOpen,
                });
            }
        }
    }

    /// Chooses trouble.
    pub(crate) fn some_trouble(random: &mut Random) -> Trouble {
        let lasting = if random.chance(500) { random.between(50 * MS, 700 * MS) } else { random.between(S, 5 * S) };
        match random.below(6) {
            0 => Trouble::Reset,
            1 => {
                let by = random.between(10 * MS, 800 * MS);
                Trouble::Slow { out: random.between(0, by), back: random.between(0, by), lasting }
            }
            2 | 3 => Trouble::Blocked { out: true, back: true, lasting },
            4 => Trouble::Blocked { out: true, back: false, lasting },
            _ => Trouble::Blocked { out: false, back: true, lasting },
        }
    }
}
