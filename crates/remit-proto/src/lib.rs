//! The wire types: messages, clients and servers of the protocols Remit speaks.
//!
//! Everything under `generated/` comes from `proto/` by `cargo xtask codegen` and is committed; nothing
//! here is written by hand but the map from protobuf packages to modules. Only the protocol layer and
//! clients may depend on these types: a message may hold anything its sender chose to put in it.

/// The packages below `authzed`.
pub mod authzed {
    /// The packages below `authzed.api`.
    pub mod api {
        /// The package `authzed.api.v1`: relationships, permissions, schema and changes.
        #[expect(
            missing_docs,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::large_enum_variant,
            clippy::missing_errors_doc,
            clippy::too_many_lines,
            reason = "generated code"
        )]
        pub mod v1 {
            include!("generated/authzed.api.v1.rs");
        }
    }
}

/// The packages below `remit`.
pub mod remit {
    /// The package `remit.v1`: what Remit answers beyond the authzed API.
    #[expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::missing_errors_doc,
        clippy::too_many_lines,
        reason = "generated code"
    )]
    pub mod v1 {
        include!("generated/remit.v1.rs");
    }
}

/// The packages below `envoy`: what Envoy asks of an external authorization.
pub mod envoy {
    /// The packages below `envoy.config`.
    pub mod config {
        /// The packages below `envoy.config.core`.
        pub mod core {
            /// The package `envoy.config.core.v3`: addresses, headers, metadata.
            #[expect(missing_docs, reason = "generated code")]
            pub mod v3 {
                include!("generated/envoy.config.core.v3.rs");
            }
        }
    }
    /// The packages below `envoy.service`.
    pub mod service {
        /// The packages below `envoy.service.auth`.
        pub mod auth {
            /// The package `envoy.service.auth.v3`: external authorization.
            #[expect(
                missing_docs,
                clippy::allow_attributes,
                clippy::allow_attributes_without_reason,
                clippy::missing_errors_doc,
                reason = "generated code"
            )]
            pub mod v3 {
                include!("generated/envoy.service.auth.v3.rs");
            }
        }
    }
    /// The packages below `envoy.type`.
    pub mod r#type {
        /// The package `envoy.type.v3`: codes of HTTP.
        #[expect(missing_docs, reason = "generated code")]
        pub mod v3 {
            include!("generated/envoy.r#type.v3.rs");
        }
    }
}

/// The packages below `google` that `prost_types` does not hold.
pub mod google {
    /// The package `google.rpc`: the error of one item in a bulk answer.
    pub mod rpc {
        include!("generated/google.rpc.rs");
    }
}

/// The encoded `FileDescriptorSet` of every package with its imports and HTTP routes, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_keeps_the_http_routes() {
        let route = b"/v1/permissions/checkbulk";
        assert!(
            FILE_DESCRIPTOR_SET
                .windows(route.len())
                .any(|window| window == route)
        );
    }
}
