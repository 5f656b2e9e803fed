//! `+`, `-`, `*`, `/` and `%`: whole numbers and times fail rather than wrap.

use std::sync::Arc;

use super::super::meter::{Meter, Stop};
use super::super::value::Value;
use super::{Arithmetic, time};

pub(super) fn call(
    operator: Arithmetic,
    left: &Value,
    right: &Value,
    meter: &mut Meter,
) -> Result<Value, Stop> {
    match operator {
        Arithmetic::Add => add(left, right, meter),
        Arithmetic::Subtract => subtract(left, right),
        Arithmetic::Multiply => multiply(left, right),
        Arithmetic::Divide => divide(left, right),
        Arithmetic::Remainder => remainder(left, right),
    }
}

pub(super) fn negate(value: &Value) -> Result<Value, Stop> {
    if let Value::Double(number) = value {
        return Ok(Value::Double(-number));
    }
    let Value::Int(number) = value else {
        return Err(Stop::no_such_overload());
    };
    number
        .checked_neg()
        .map(Value::Int)
        .ok_or_else(int_overflow)
}

fn add(left: &Value, right: &Value, meter: &mut Meter) -> Result<Value, Stop> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left
            .checked_add(*right)
            .map(Value::Int)
            .ok_or_else(int_overflow),
        (Value::Uint(left), Value::Uint(right)) => left
            .checked_add(*right)
            .map(Value::Uint)
            .ok_or_else(uint_overflow),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::String(left), Value::String(right)) => {
            meter.walk(left.len() + right.len())?;
            Ok(Value::String(
                [left.as_ref(), right.as_ref()].concat().into(),
            ))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            meter.walk(left.len() + right.len())?;
            Ok(Value::Bytes(
                [left.as_ref(), right.as_ref()].concat().into(),
            ))
        }
        (Value::List(left), Value::List(right)) => {
            meter.spend((left.len() + right.len()) as u64)?;
            Ok(Value::List(Arc::new(
                left.iter().chain(right.iter()).cloned().collect(),
            )))
        }
        (Value::Duration(left), Value::Duration(right)) => left
            .checked_add(*right)
            .map(Value::Duration)
            .ok_or_else(time::duration_overflow),
        (Value::Timestamp(at), Value::Duration(nanos))
        | (Value::Duration(nanos), Value::Timestamp(at)) => time::shifted(*at, i128::from(*nanos)),
        _ => Err(Stop::no_such_overload()),
    }
}

fn subtract(left: &Value, right: &Value) -> Result<Value, Stop> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left
            .checked_sub(*right)
            .map(Value::Int)
            .ok_or_else(int_overflow),
        (Value::Uint(left), Value::Uint(right)) => left
            .checked_sub(*right)
            .map(Value::Uint)
            .ok_or_else(uint_overflow),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Value::Duration(left), Value::Duration(right)) => left
            .checked_sub(*right)
            .map(Value::Duration)
            .ok_or_else(time::duration_overflow),
        (Value::Timestamp(at), Value::Duration(nanos)) => time::shifted(*at, -i128::from(*nanos)),
        (Value::Timestamp(left), Value::Timestamp(right)) => time::between(*left, *right),
        _ => Err(Stop::no_such_overload()),
    }
}

fn multiply(left: &Value, right: &Value) -> Result<Value, Stop> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left
            .checked_mul(*right)
            .map(Value::Int)
            .ok_or_else(int_overflow),
        (Value::Uint(left), Value::Uint(right)) => left
            .checked_mul(*right)
            .map(Value::Uint)
            .ok_or_else(uint_overflow),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left * right)),
        _ => Err(Stop::no_such_overload()),
    }
}

fn divide(left: &Value, right: &Value) -> Result<Value, Stop> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(Stop::error("division by zero"))
        }
        (Value::Int(left), Value::Int(right)) => left
            .checked_div(*right)
            .map(Value::Int)
            .ok_or_else(int_overflow),
        (Value::Uint(left), Value::Uint(right)) => left
            .checked_div(*right)
            .map(Value::Uint)
            .ok_or_else(uint_overflow),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left / right)),
        _ => Err(Stop::no_such_overload()),
    }
}

fn remainder(left: &Value, right: &Value) -> Result<Value, Stop> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(Stop::error("modulus by zero"))
        }
        (Value::Int(left), Value::Int(right)) => left
            .checked_rem(*right)
            .map(Value::Int)
            .ok_or_else(int_overflow),
        (Value::Uint(left), Value::Uint(right)) => left
            .checked_rem(*right)
            .map(Value::Uint)
            .ok_or_else(uint_overflow),
        _ => Err(Stop::no_such_overload()),
    }
}

fn int_overflow() -> Stop {
    Stop::error("integer overflow")
}

fn uint_overflow() -> Stop {
    Stop::error("unsigned integer overflow")
}
