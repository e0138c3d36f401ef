//! Assignments: which clusters and namespaces a user may touch at all. Access is role ∩ assignments.

use crate::ids::ClusterId;
use std::collections::BTreeSet;

/// Which clusters an assignment speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterScope {
    /// Every cluster, those registered later included.
    Every,
    /// One.
    One(ClusterId),
}

/// Which namespaces of those clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceScope {
    /// All of them, and what lives in none.
    All,
    /// These by name.
    Named(BTreeSet<String>),
}

/// One line of a user's assignments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The clusters.
    pub cluster: ClusterScope,
    /// Their namespaces.
    pub namespaces: NamespaceScope,
}

/// All assignments of a user. Lines add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignments(Vec<Assignment>);

impl Assignments {
    /// From their lines, in any order.
    #[must_use]
    pub fn new(lines: Vec<Assignment>) -> Self {
        Self(lines)
    }

    /// Every cluster and namespace.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All }])
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[Assignment] {
        &self.0
    }

    /// The namespaces assigned in a cluster; `None` where the cluster is not assigned at all.
    #[must_use]
    pub fn within(&self, cluster: ClusterId) -> Option<NamespaceScope> {
        let mut named: Option<BTreeSet<String>> = None;
        for line in &self.0 {
            if matches!(line.cluster, ClusterScope::One(id) if id != cluster) {
                continue;
            }
            match &line.namespaces {
                NamespaceScope::All => return Some(NamespaceScope::All),
                NamespaceScope::Named(set) => named.get_or_insert_default().extend(set.iter().cloned()),
            }
        }
        named.map(NamespaceScope::Named)
    }

    /// Whether they reach everything that the line does, clusters registered later included.
    #[must_use]
    pub fn include(&self, line: &Assignment) -> bool {
        let mine = match line.cluster {
            ClusterScope::One(cluster) => self.within(cluster),
            ClusterScope::Every => {
                let every = self.0.iter().filter(|mine| mine.cluster == ClusterScope::Every).cloned().collect();
                // Any cluster that has no line of its own shows what the lines for every one give.
                Assignments(every).within(ClusterId::from_parts(0, [0; 10]))
            }
        };
        mine.is_some_and(|mine| mine.includes(&line.namespaces))
    }
}

impl NamespaceScope {
    /// Whether the namespace is among them.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            NamespaceScope::All => true,
            NamespaceScope::Named(set) => set.contains(namespace),
        }
    }

    /// Whether every namespace of the other one is among them.
    #[must_use]
    pub fn includes(&self, other: &NamespaceScope) -> bool {
        match (self, other) {
            (NamespaceScope::All, _) => true,
            (NamespaceScope::Named(_), NamespaceScope::All) => false,
            (NamespaceScope::Named(mine), NamespaceScope::Named(theirs)) => theirs.is_subset(mine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(n: u8) -> ClusterId {
        ClusterId::from_parts(1, [n; 10])
    }

    fn named(names: &[&str]) -> NamespaceScope {
        NamespaceScope::Named(names.iter().map(|&n| n.to_owned()).collect())
    }

    #[test]
    fn lines_add_up() {
        let assignments = Assignments::new(vec![
            Assignment { cluster: ClusterScope::One(cluster(1)), namespaces: named(&["a"]) },
            Assignment { cluster: ClusterScope::One(cluster(2)), namespaces: NamespaceScope::All },
            Assignment { cluster: ClusterScope::Every, namespaces: named(&["b"]) },
        ]);
        assert_eq!(assignments.within(cluster(1)), Some(named(&["a", "b"])));
        assert_eq!(assignments.within(cluster(2)), Some(NamespaceScope::All));
        assert_eq!(assignments.within(cluster(3)), Some(named(&["b"])));
        assert_eq!(Assignments::default().within(cluster(1)), None);
    }

    #[test]
    fn nobody_includes_more_than_they_reach() {
        let line = |cluster, namespaces| Assignment { cluster, namespaces };
        let (one, every) = (ClusterScope::One(cluster(1)), ClusterScope::Every);
        let mine = Assignments::new(vec![
            line(one.clone(), named(&["a", "b"])),
            line(every.clone(), named(&["c"])),
            line(ClusterScope::One(cluster(2)), NamespaceScope::All),
        ]);
        for (other, included) in [
            (line(one.clone(), named(&["a", "c"])), true),
            (line(one.clone(), named(&["d"])), false),
            (line(one, NamespaceScope::All), false),
            (line(ClusterScope::One(cluster(2)), NamespaceScope::All), true),
            (line(ClusterScope::One(cluster(3)), named(&["c"])), true),
            (line(every.clone(), named(&["c"])), true),
            (line(every.clone(), named(&["a"])), false),
            (line(every.clone(), NamespaceScope::All), false),
        ] {
            assert_eq!(mine.include(&other), included, "{other:?}");
        }
        assert!(Assignments::everything().include(&line(every, NamespaceScope::All)));
    }
}
