//! The definitions, relations, permissions and caveats of the schema, by name.

pub(crate) const USER: &str = "kubernetes/user";
pub(crate) const SERVICE_ACCOUNT: &str = "kubernetes/serviceaccount";
pub(crate) const GROUP: &str = "kubernetes/group";
pub(crate) const CLUSTER: &str = "kubernetes/cluster";
pub(crate) const NAMESPACE: &str = "kubernetes/namespace";
pub(crate) const CLUSTER_ROLE_BINDING: &str = "kubernetes/cluster_role_binding";
pub(crate) const ROLE_BINDING: &str = "kubernetes/role_binding";
pub(crate) const ROLE: &str = "kubernetes/role";
pub(crate) const CLUSTER_ROLE: &str = "kubernetes/cluster_role";
pub(crate) const RULE: &str = "kubernetes/rule";
pub(crate) const SOURCE: &str = "kubernetes/source";

pub(crate) const ITSELF: &str = "itself";
pub(crate) const GRANTED: &str = "granted";
pub(crate) const GRANTED_URL: &str = "granted_url";
pub(crate) const BANNED: &str = "banned";
pub(crate) const ANYONE: &str = "anyone";

pub(crate) const OF_SOURCE: &str = "source";
pub(crate) const OF_CLUSTER: &str = "cluster";
pub(crate) const BINDING: &str = "binding";
pub(crate) const OF_ROLE: &str = "role";
pub(crate) const OF_RULE: &str = "rule";
pub(crate) const AGGREGATE: &str = "aggregate";
pub(crate) const SUBJECT: &str = "subject";
pub(crate) const MATCHES: &str = "matches";
pub(crate) const MATCHES_URL: &str = "matches_url";

pub(crate) const PERMITS: &str = "kubernetes/permits";
pub(crate) const PERMITS_URL: &str = "kubernetes/permits_url";
