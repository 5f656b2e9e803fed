//! What the relationships of manifests answer is what RBAC answers.

#[cfg(test)]
mod equivalence;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod known;
#[cfg(test)]
mod rbac;
