//! What the role that serves may do, and needs: one list for who grants it and for who looks whether it is there.

/// The tables that are written, with what is done to them.
const WRITTEN: &[(&str, &[&str])] = &[
    ("head", &["UPDATE"]),
    ("relationship", &["INSERT", "UPDATE", "DELETE"]),
    ("record", &["INSERT", "UPDATE", "DELETE"]),
    // They are trimmed.
    ("log_entry", &["INSERT", "DELETE"]),
    ("schema_version", &["INSERT", "DELETE"]),
    ("audit_entry", &["INSERT"]),
    ("audit_node", &["INSERT"]),
    ("audit_checkpoint", &["INSERT"]),
];

/// The columns that are changed in tables which are not, otherwise: erasures leave less of an entry.
const COLUMNS: &[(&str, &str, &str)] = &[("audit_entry", "body", "UPDATE")];

/// The tables that are read, but not written.
const READ: &[&str] = &["identity", "migration"];

/// The statements that grant it. `role` is quoted already.
pub(super) fn grants(role: &str) -> String {
    let mut sql = format!(
        "GRANT USAGE ON SCHEMA remit TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA remit TO {role}"
    );
    for (table, rights) in WRITTEN {
        let rights = rights.join(", ");
        sql.push_str(&format!("; GRANT {rights} ON remit.{table} TO {role}"));
    }
    for (table, column, right) in COLUMNS {
        sql.push_str(&format!(
            "; GRANT {right} ({column}) ON remit.{table} TO {role}"
        ));
    }
    sql
}

/// The question which of it the role has not that asks: a row with the names of those rights. A table that is not there yet is
/// none that a right is missing on.
pub(super) fn missing() -> String {
    let mut needed = Vec::new();
    for (table, rights) in WRITTEN {
        let rights = std::iter::once(&"SELECT").chain(*rights);
        needed.extend(rights.map(|right| of_table(table, right)));
    }
    needed.extend(READ.iter().map(|table| of_table(table, "SELECT")));
    needed.extend(COLUMNS.iter().map(|(table, column, right)| {
        format!(
            "('{right} ({column}) on {table}', has_column_privilege(to_regclass('remit.{table}'), '{column}', '{right}'))"
        )
    }));
    format!(
        "SELECT coalesce(array_agg(name) FILTER (WHERE NOT has), '{{}}'::text[]) FROM (VALUES {}) AS needed(name, has)",
        needed.join(", ")
    )
}

fn of_table(table: &str, right: &str) -> String {
    format!("('{right} on {table}', has_table_privilege(to_regclass('remit.{table}'), '{right}'))")
}
