//! Sets against their values: whatever becomes of two sets, object by object it is what becomes of the two values.

use super::super::set::Set;
use crate::eval::value::Value;

/// How an object can stand in a set: not named, or with a value that is its own or not.
const STATES: [Option<(Truth, bool)>; 6] = [
    None,
    Some((Truth::Yes, true)),
    Some((Truth::No, false)),
    Some((Truth::Maybe, true)),
    Some((Truth::Maybe, false)),
    Some((Truth::Yes, false)),
];

#[derive(Debug, Clone, Copy)]
enum Truth {
    No,
    Yes,
    Maybe,
}

const DEFAULTS: [Truth; 3] = [Truth::No, Truth::Yes, Truth::Maybe];

fn value(truth: Truth, name: &str) -> Value {
    match truth {
        Truth::No => Value::No,
        Truth::Yes => Value::Yes,
        Truth::Maybe => Value::missing(vec![name.to_owned()]),
    }
}

/// A set of that default in which objects stand as `state_of` their number says.
fn set(default: Truth, name: &str, state_of: impl Fn(usize) -> usize) -> Set {
    let mut set = Set {
        default: value(default, name),
        ..Set::default()
    };
    for object in 0..STATES.len() * STATES.len() {
        if let Some((truth, is_own)) = STATES[state_of(object)] {
            set.place(object as u32, value(truth, name), is_own, 1);
        }
    }
    set
}

/// Whether an object is told of on its own: on its own account, or because it is more in the set than the default says.
fn is_told_of(set: &Set, object: u32) -> bool {
    let undecided = set.other.get(&object);
    set.yes.contains(object) || undecided.is_some_and(|undecided| undecided.is_own)
}

fn keeps_to_its_form(set: &Set) -> bool {
    let is_apart = |object: &u32| !set.yes.contains(*object) && !set.no.contains(*object);
    (set.yes.is_disjoint(&set.no) && set.other.keys().all(is_apart))
        && (set.default != Value::No || set.no.is_empty())
}

type Operation = (fn(Set, &Set) -> Set, fn(Value, Value) -> Value);

/// Every way in which an object can stand in each of two sets, under every pair of defaults.
#[test]
fn an_operation_on_sets_is_one_on_each_object() {
    let operations: [Operation; 3] = [
        (Set::or, Value::or),
        (Set::and, Value::and),
        (Set::without, Value::without),
    ];
    for (left_default, right_default) in DEFAULTS
        .iter()
        .flat_map(|left| DEFAULTS.map(|right| (*left, right)))
    {
        let left = set(left_default, "left", |object| object % STATES.len());
        let right = set(right_default, "right", |object| object / STATES.len());
        for (at, (on_sets, on_values)) in operations.into_iter().enumerate() {
            let result = on_sets(left.clone(), &right);
            assert!(keeps_to_its_form(&result), "{result:?}");
            for object in 0..(STATES.len() * STATES.len()) as u32 + 1 {
                let (of_left, of_right) = (left.at(object).0, right.at(object).0);
                let expected = on_values(of_left, of_right);
                let what = format!("operation {at} of {object} in {left:?} and {right:?}");
                assert_eq!(result.at(object).0, expected, "{what}");
                let is_own = is_told_of(&left, object) || (at < 2 && is_told_of(&right, object));
                let is_told = match expected {
                    Value::No => false,
                    Value::Yes => is_own || result.default != Value::Yes,
                    Value::Undecided(_) => is_own || result.default == Value::No,
                };
                assert_eq!(is_told_of(&result, object), is_told, "{what}");
            }
        }
    }
}
