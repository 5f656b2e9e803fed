//! What a call costs, by its method: which of the queues it waits in when there is more to do than can be done.

/// A sort of calls. They do not wait for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Single checks, by whatever protocol, and batches of some dozens.
    Check,
    /// What changes relationships or the schema.
    Write,
    /// What looks at much: large batches, look-ups, trees, reads, exports, plans.
    Bulk,
    /// What goes on: watches, and what replicas follow.
    Stream,
}

/// What a method is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Never refused: health, what the server speaks, locks and keys. Whoever mends an overload needs them.
    Free,
    /// Of this class.
    Of(Class),
    /// A check or bulk, by how much is asked.
    BySize,
}

/// A batch of checks of so many bytes is one of some dozens.
pub(super) const SMALL_BATCH_BYTES: u64 = 8 << 10;

impl Class {
    /// All of them, in the order of their places.
    pub(super) const ALL: [Self; 4] = [Self::Check, Self::Write, Self::Bulk, Self::Stream];

    #[cfg(test)]
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Check => 0,
            Self::Write => 1,
            Self::Bulk => 2,
            Self::Stream => 3,
        }
    }

    /// As labels of metrics and rules name it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Write => "write",
            Self::Bulk => "bulk",
            Self::Stream => "stream",
        }
    }

    /// What a call of it counts for at least, in units: a unit is what a single check costs.
    pub(super) const fn units(self) -> u64 {
        match self {
            Self::Check => 1,
            Self::Write => 8,
            Self::Bulk | Self::Stream => 4,
        }
    }
}

impl Kind {
    /// The kind of what is asked at `path`.
    pub(super) fn of(path: &str) -> Self {
        let Some((service, method)) = path.rsplit_once('/') else {
            return Self::Of(Class::Check);
        };
        match method {
            _ if service.starts_with("/grpc.") => Self::Free,
            _ if service == "/remit.v1.AccessService" => Self::Free,
            "CheckPermission" => Self::Of(Class::Check),
            "CheckBulkPermissions" | "BulkCheckPermission" | "evaluations" => Self::BySize,
            "LookupResources"
            | "LookupSubjects"
            | "ExpandPermissionTree"
            | "ReadRelationships"
            | "ExportBulkRelationships"
            | "BulkExportRelationships"
            | "Explain"
            | "Replay"
            | "Digest"
            | "ListPermissions"
            | "FilterResources"
            | "ListResources"
            | "PlanSchema"
            | "DiffSchema"
            | "ExperimentalDiffSchema"
            | "ExperimentalCountRelationships" => Self::Of(Class::Bulk),
            "WriteRelationships"
            | "DeleteRelationships"
            | "ImportBulkRelationships"
            | "BulkImportRelationships"
            | "WriteSchema"
            | "DeleteObject"
            | "EraseFromAudit"
            | "ExperimentalRegisterRelationshipCounter"
            | "ExperimentalUnregisterRelationshipCounter" => Self::Of(Class::Write),
            "Watch" | "FollowHead" | "ReadLog" | "ReadState" => Self::Of(Class::Stream),
            _ if service == "/remit.v1.AuditService" || service.starts_with("/audit") => {
                Self::Of(Class::Bulk)
            }
            _ if service.starts_with("/access/v1/search") => Self::Of(Class::Bulk),
            _ => Self::Of(Class::Check),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_that_is_served_has_its_kind() {
        use prost::Message as _;
        let set = remit_proto::FILE_DESCRIPTOR_SET;
        let set = prost_types::FileDescriptorSet::decode(set).unwrap();
        let mut counted = [0; 6];
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let streams = method.server_streaming();
                    let place = match Kind::of(&path) {
                        Kind::Free => 4,
                        Kind::BySize => 5,
                        Kind::Of(class) => class.place(),
                    };
                    counted[place] += 1;
                    let is_check = Kind::of(&path) == Kind::Of(Class::Check);
                    assert!(!(streams && is_check), "{path} streams, and is no check");
                    assert!(
                        !method.client_streaming() || place == Class::Write.place(),
                        "{path} takes a stream"
                    );
                }
            }
        }
        assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
        assert_eq!(Kind::of("/grpc.health.v1.Health/Check"), Kind::Free);
        assert_eq!(Kind::of("/grpc.health.v1.Health/Watch"), Kind::Free);
        assert_eq!(
            Kind::of("/envoy.service.auth.v3.Authorization/Check"),
            Kind::Of(Class::Check)
        );
        for (path, kind) in [
            ("/access/v1/evaluation", Kind::Of(Class::Check)),
            ("/access/v1/evaluations", Kind::BySize),
            ("/access/v1/search/subject", Kind::Of(Class::Bulk)),
            ("/audit/tile/0/000", Kind::Of(Class::Bulk)),
            ("/audit/checkpoint", Kind::Of(Class::Bulk)),
            ("/kubernetes/v1/authorize/eu", Kind::Of(Class::Check)),
            ("/edge/forward-auth", Kind::Of(Class::Check)),
            ("/remit.v1.AccessService/Lock", Kind::Free),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }
}
