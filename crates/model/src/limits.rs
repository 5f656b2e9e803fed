//! Every limit of a request, with its unit and its default.

/// The limits that a node enforces. Each has a named error where it is hit.
///
/// SOURCE: the defaults are those of the authzed API where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest derivation of a permission, in relations and permissions walked.
    pub depth_max: u16,
    /// Edges that one evaluation may visit.
    pub edges_visited_max: u64,
    /// Edges that one look-up may visit. A look-up of subjects keeps those between objects in memory meanwhile, at up to
    /// some 90 bytes each.
    pub look_up_edges_visited_max: u64,
    /// Updates in one write.
    pub updates_max: usize,
    /// Preconditions in one write or delete.
    pub preconditions_max: usize,
    /// Items in one bulk check.
    pub bulk_check_items_max: usize,
    /// Relationships in one page of a read or in one limited deletion.
    pub page_size_max: u32,
    /// Relationships in one message of an export.
    pub export_page_size_max: u32,
    /// Caveat context kept with one relationship, in bytes of JSON.
    pub relationship_context_bytes_max: usize,
    /// Caveat context sent with one request, in bytes of JSON.
    pub request_context_bytes_max: usize,
    /// Metadata of one transaction, in bytes of JSON.
    pub transaction_metadata_bytes_max: usize,
    /// Text of a schema, in bytes.
    pub schema_bytes_max: usize,
    /// A request message, in bytes.
    pub request_bytes_max: usize,
    /// An answer that is one message, as far as its size depends on data, in bytes: stock clients take no larger ones.
    pub answer_bytes_max: usize,
    /// Relationships in one bulk import, which is one commit.
    pub import_relationships_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 50,
            edges_visited_max: 10_000_000,
            look_up_edges_visited_max: 100_000_000,
            updates_max: 1_000,
            preconditions_max: 1_000,
            bulk_check_items_max: 10_000,
            page_size_max: 1_000,
            export_page_size_max: 10_000,
            relationship_context_bytes_max: 25_000,
            request_context_bytes_max: 4_096,
            transaction_metadata_bytes_max: 65_000,
            schema_bytes_max: 4 * 1024 * 1024,
            request_bytes_max: 4 * 1024 * 1024,
            answer_bytes_max: 4 * 1024 * 1024,
            import_relationships_max: 1_000_000,
        }
    }
}
