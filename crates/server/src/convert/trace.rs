//! How a decision came about, as the wire has it.
//!
//! A node that failed has no permissionship. One whose trace is cut says so in its source, where nothing else has a place.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use engine::eval::{Condition, ConditionResult, Trace, TraceNode};
use model::{Decision, SubjectRef};
use ops::trace::Traced;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::caveat_eval_info::Result as CaveatResult;
use remit_proto::authzed::api::v1::check_debug_trace::{
    PermissionType, Permissionship, Resolution, SubProblems,
};

use super::{context_to_wire, object_to_wire, subject_to_wire, timestamp_to_wire};

/// Where traces come from: this node, under a name that no other has.
#[derive(Debug)]
pub(crate) struct TraceSource(String);

impl TraceSource {
    pub(crate) fn new() -> Self {
        Self(format!("remit:{:016x}", random()))
    }
}

/// The trace of a check of `subject`, if it was made.
pub(crate) fn debug_information(
    traced: &Traced,
    subject: &SubjectRef,
    source: &TraceSource,
) -> Option<wire::DebugInformation> {
    let trace = traced.trace.as_ref()?;
    let teller = Teller {
        subject: subject_to_wire(subject),
        source,
        operations: (random(), random()),
    };
    let mut check = teller.node(&trace.root);
    // The equations of a question are solved together, so there is one duration.
    check.duration = Some(duration(traced.took));
    Some(wire::DebugInformation {
        check: Some(check),
        schema_used: traced.schema_text.as_deref().unwrap_or_default().to_owned(),
    })
}

/// A trace in the text form of its message, for the details of an error: resources, results and what they rest on.
pub(crate) fn debug_text(trace: &Trace, subject: &SubjectRef) -> String {
    /// Details travel in a header, of which clients take eight kilobytes.
    const BYTES_MAX: usize = 2_048;
    let mut text = String::from("check:{");
    write_node(&trace.root, subject, BYTES_MAX, &mut text);
    text.push('}');
    text
}

fn write_node(node: &TraceNode, subject: &SubjectRef, bytes_max: usize, text: &mut String) {
    let object = &node.object;
    let set = match &subject.relation {
        Some(relation) => format!(" optional_relation:\"{relation}\""),
        None => String::new(),
    };
    // Nothing in a name or an id has to be escaped.
    text.push_str(&format!(
        "resource:{{object_type:\"{}\" object_id:\"{}\"}} permission:\"{}\" permission_type:{} \
         subject:{{object:{{object_type:\"{}\" object_id:\"{}\"}}{set}}} result:{}",
        object.definition,
        object.id,
        node.member,
        permission_type(node).as_str_name(),
        subject.definition,
        subject.id,
        permissionship(node).as_str_name(),
    ));
    if node.below.is_empty() {
        text.push_str(&format!(" was_cached_result:{}", node.is_repeated));
        return;
    }
    text.push_str(" sub_problems:{");
    for below in &node.below {
        if text.len() > bytes_max {
            break;
        }
        text.push_str("traces:{");
        write_node(below, subject, bytes_max, text);
        text.push('}');
    }
    text.push('}');
}

struct Teller<'a> {
    subject: wire::SubjectReference,
    source: &'a TraceSource,
    /// What the operations of this trace are told from those of others by.
    operations: (u64, u64),
}

impl Teller<'_> {
    fn node(&self, node: &TraceNode) -> wire::CheckDebugTrace {
        let resolution = if node.below.is_empty() {
            Resolution::WasCachedResult(node.is_repeated)
        } else {
            let traces = node.below.iter().map(|below| self.node(below)).collect();
            Resolution::SubProblems(SubProblems { traces })
        };
        let cut = if node.is_cut { ":truncated" } else { "" };
        wire::CheckDebugTrace {
            resource: Some(object_to_wire(&node.object)),
            permission: node.member.to_string(),
            permission_type: permission_type(node).into(),
            subject: Some(self.subject.clone()),
            result: permissionship(node).into(),
            caveat_evaluation_info: node.condition.as_ref().map(caveat_evaluation_info),
            duration: None,
            optional_expires_at: node.expires_at.map(timestamp_to_wire),
            trace_operation_id: self.operation_id(node.number),
            source: format!("{}{cut}", self.source.0),
            resolution: Some(resolution),
        }
    }

    /// A random UUID for each node of each trace; a repeated node has that of the first time.
    fn operation_id(&self, number: u32) -> String {
        let (high, low) = (self.operations.0, self.operations.1 ^ u64::from(number));
        let (first, second) = (high >> 32, (high >> 16) & 0xffff);
        // Version 4, variant 1.
        let (third, fourth) = (high & 0x0fff | 0x4000, (low >> 48) & 0x3fff | 0x8000);
        let last = low & 0xffff_ffff_ffff;
        format!("{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
    }
}

fn permission_type(node: &TraceNode) -> PermissionType {
    if node.is_permission {
        PermissionType::Permission
    } else {
        PermissionType::Relation
    }
}

fn permissionship(node: &TraceNode) -> Permissionship {
    match node.decision {
        Ok(Decision::Allowed) => Permissionship::HasPermission,
        Ok(Decision::Denied) => Permissionship::NoPermission,
        Ok(Decision::Conditional { .. }) => Permissionship::ConditionalPermission,
        Err(_) => Permissionship::Unspecified,
    }
}

fn caveat_evaluation_info(condition: &Condition) -> wire::CaveatEvalInfo {
    let (result, missing) = match &condition.result {
        ConditionResult::True => (CaveatResult::True, None),
        ConditionResult::False => (CaveatResult::False, None),
        ConditionResult::Missing(missing) => (CaveatResult::MissingSomeContext, Some(missing)),
        ConditionResult::Failed => (CaveatResult::Unevaluated, None),
    };
    wire::CaveatEvalInfo {
        expression: condition.expression.clone(),
        result: result.into(),
        context: Some(context_to_wire(&condition.context)),
        partial_caveat_info: missing.map(|missing| wire::PartialCaveatInfo {
            missing_required_context: missing.clone(),
        }),
        caveat_name: condition
            .caveat
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

fn duration(took: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(took.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(took.subsec_nanos()).unwrap_or(i32::MAX),
    }
}

/// A number that no other call gives. It is no secret.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
