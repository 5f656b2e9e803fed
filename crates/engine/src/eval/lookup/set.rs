//! Sets of objects with a value for each: what a relation or permission comes to, for all objects at once.
//!
//! A set has a default, which a wildcard gives to every object, and the objects that differ from it or stand in it on
//! their own account. What is definite is a bitmap, so that an operator works on whole sets; only what hangs on a condition
//! or has failed is kept object by object.
//!
//! INVARIANT: `yes`, `no` and `other` are disjoint; `no` is empty where the default is a no.

use std::collections::BTreeMap;

use roaring::{MultiOps, RoaringBitmap};

use crate::eval::value::{Flags, Value};

/// A value for every object of one definition.
#[derive(Debug, Clone)]
pub(super) struct Set {
    /// The value of every object that is not named below.
    pub(super) default: Value,
    /// Objects that are in the set for certain, on their own account or against the default.
    pub(super) yes: RoaringBitmap,
    /// Objects that are not in the set although the default may be.
    pub(super) no: RoaringBitmap,
    /// Objects that are in the set on a condition, or for which the evaluation failed.
    pub(super) other: BTreeMap<u32, Undecided>,
    /// No derivation of the default or of a certain object is longer, in relations and permissions.
    pub(super) height: u16,
}

/// Why an object is neither in nor out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undecided {
    pub(super) flags: Flags,
    /// Whether the object is here on its own account, and not only because something is taken away from the default.
    pub(super) is_own: bool,
    /// As [`Set::height`], for this object.
    pub(super) height: u16,
}

/// How two sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Without,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            default: Value::No,
            yes: RoaringBitmap::new(),
            no: RoaringBitmap::new(),
            other: BTreeMap::new(),
            height: 0,
        }
    }
}

impl Set {
    pub(super) fn one(object: u32) -> Self {
        Self {
            yes: RoaringBitmap::from_iter([object]),
            ..Self::default()
        }
    }

    /// Whether no object is in the set, surely or not.
    pub(super) fn is_empty(&self) -> bool {
        self.default == Value::No && self.yes.is_empty() && self.other.is_empty()
    }

    /// How many objects are named as being in the set, surely or not.
    pub(super) fn len(&self) -> u64 {
        self.yes.len() + self.other.len() as u64
    }

    /// The value of one object, with the height that bounds its derivation.
    pub(super) fn at(&self, object: u32) -> (Value, u16) {
        if self.yes.contains(object) {
            return (Value::Yes, self.height);
        }
        if let Some(undecided) = self.other.get(&object) {
            let value = Value::Undecided(Box::new(undecided.flags.clone()));
            return (value, undecided.height);
        }
        if self.default == Value::No || self.no.contains(object) {
            return (Value::No, 0);
        }
        (self.default.clone(), self.height)
    }

    /// Takes in an object with its value, beside what is known of it.
    pub(super) fn insert(&mut self, object: u32, value: Value, height: u16) {
        match value {
            Value::No => {}
            Value::Yes => {
                self.other.remove(&object);
                self.no.remove(object);
                self.yes.insert(object);
                self.height = self.height.max(height);
            }
            Value::Undecided(_) if self.yes.contains(object) => {}
            Value::Undecided(flags) => {
                let known = self.other.entry(object).or_insert_with(|| Undecided {
                    flags: Flags::default(),
                    is_own: true,
                    height,
                });
                known.flags.merge(*flags);
                known.is_own = true;
                known.height = known.height.max(height);
            }
        }
    }

    /// No derivation of anything in the set is longer.
    pub(super) fn deepest(&self) -> u16 {
        let undecided = self.other.values().map(|undecided| undecided.height);
        undecided.max().unwrap_or(0).max(self.height)
    }

    /// The set, as far as a relationship of that value leads to it.
    pub(super) fn under(self, edge: &Value) -> Self {
        match edge {
            Value::Yes => self,
            Value::No => Self::default(),
            Value::Undecided(flags) => {
                let mut other = self.other;
                for undecided in other.values_mut() {
                    undecided.flags.merge((**flags).clone());
                }
                other.extend(self.yes.iter().map(|object| {
                    let undecided = Undecided {
                        flags: (**flags).clone(),
                        is_own: true,
                        height: self.height,
                    };
                    (object, undecided)
                }));
                Self {
                    default: self.default.and(edge.clone()),
                    yes: RoaringBitmap::new(),
                    no: self.no,
                    other,
                    height: self.height,
                }
            }
        }
    }

    /// One level up: what a node comes to whose formula comes to this.
    pub(super) fn raised(mut self) -> Self {
        self.height = self.height.saturating_add(1);
        for undecided in self.other.values_mut() {
            undecided.height = undecided.height.saturating_add(1);
        }
        self
    }

    pub(super) fn or(self, other: &Self) -> Self {
        if self.is_plain() && other.is_plain() {
            let mut united = self;
            united.yes |= &other.yes;
            united.height = united.height.max(other.height);
            return united;
        }
        self.combined(other, Operator::Or)
    }

    pub(super) fn and(self, other: &Self) -> Self {
        self.combined(other, Operator::And)
    }

    pub(super) fn without(self, other: &Self) -> Self {
        self.combined(other, Operator::Without)
    }

    /// Whether the set is a list of objects and nothing else.
    fn is_plain(&self) -> bool {
        self.default == Value::No && self.other.is_empty()
    }

    fn combined(self, other: &Self, operator: Operator) -> Self {
        let default = operator.of(self.default.clone(), other.default.clone());
        let mut result = Self {
            default,
            height: self.height.max(other.height),
            ..Self::default()
        };
        let mut named = [&self.yes, &self.no, &other.yes, &other.no].union();
        let both = (self.is_certain_of_default(), other.is_certain_of_default());
        let mut one_by_one: Vec<u32> = self
            .other
            .keys()
            .chain(other.other.keys())
            .copied()
            .collect();
        if let (Some(left), Some(right)) = both {
            for object in &one_by_one {
                named.remove(*object);
            }
            let is_left = self.certain_among(&named, left);
            let is_right = other.certain_among(&named, right);
            let (is_in, own) = match operator {
                Operator::Or => (&is_left | &is_right, &self.yes | &other.yes),
                Operator::And => (&is_left & &is_right, &self.yes | &other.yes),
                Operator::Without => (&is_left - &is_right, self.yes.clone()),
            };
            if result.default == Value::No {
                result.yes = is_in;
            } else {
                result.no = &named - &is_in;
                result.yes = is_in & own;
            }
        } else {
            one_by_one.extend(named);
        }
        one_by_one.sort_unstable();
        one_by_one.dedup();
        for object in one_by_one {
            let is_own = match operator {
                Operator::Or | Operator::And => self.is_own(object) || other.is_own(object),
                Operator::Without => self.is_own(object),
            };
            let (left, left_height) = self.at(object);
            let (right, right_height) = other.at(object);
            let value = operator.of(left, right);
            result.place(object, value, is_own, left_height.max(right_height));
        }
        result
    }

    /// Sets the value of an object that has none yet.
    pub(super) fn place(&mut self, object: u32, value: Value, is_own: bool, height: u16) {
        match value {
            Value::Yes if is_own || self.default != Value::Yes => {
                self.yes.insert(object);
            }
            Value::No if self.default != Value::No => {
                self.no.insert(object);
            }
            Value::Yes | Value::No => {}
            Value::Undecided(flags) => {
                let undecided = Undecided {
                    flags: *flags,
                    is_own: is_own || self.default == Value::No,
                    height,
                };
                self.other.insert(object, undecided);
            }
        }
    }

    fn is_own(&self, object: u32) -> bool {
        self.yes.contains(object) || self.other.get(&object).is_some_and(|it| it.is_own)
    }

    fn is_certain_of_default(&self) -> Option<bool> {
        match self.default {
            Value::No => Some(false),
            Value::Yes => Some(true),
            Value::Undecided(_) => None,
        }
    }

    /// Those of `named` that are in the set, where its default is certain and none of them is undecided.
    fn certain_among(&self, named: &RoaringBitmap, default: bool) -> RoaringBitmap {
        if default {
            named - &self.no
        } else {
            named & &self.yes
        }
    }
}

impl Operator {
    fn of(self, left: Value, right: Value) -> Value {
        match self {
            Self::Or => left.or(right),
            Self::And => left.and(right),
            Self::Without => left.without(right),
        }
    }
}
