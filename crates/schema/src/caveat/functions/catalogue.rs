//! The catalogue of functions: their names, the types they take and yield, and what each runs.
//!
//! SOURCE: the standard definitions of CEL, its optional types, and `in_cidr` and `isSubtreeOf` of the authzed API.
//! Numbers of two types have no common overload, as with the peer; among values of `any` they do compare.

use super::{Overload, Run, Signature};

const fn global(
    name: &'static str,
    arguments: &'static [Signature],
    result: Signature,
    run: Run,
) -> Overload {
    Overload {
        name,
        is_member: false,
        arguments,
        result,
        run,
    }
}

const fn member(
    name: &'static str,
    arguments: &'static [Signature],
    result: Signature,
    run: Run,
) -> Overload {
    Overload {
        name,
        is_member: true,
        arguments,
        result,
        run,
    }
}

/// Every way to call `name`.
pub(in super::super) fn overloads(name: &str) -> impl Iterator<Item = &'static Overload> {
    CATALOGUE
        .iter()
        .flat_map(|part| part.iter())
        .filter(move |overload| overload.name == name)
}

const CATALOGUE: [&[Overload]; 6] = [
    COMPARISONS,
    ARITHMETIC,
    COLLECTIONS,
    CONVERSIONS,
    TIMES,
    OPTIONALS,
];

mod rows {
    //! Short names, for the rows of the catalogue only.
    pub(super) use super::super::Arithmetic as Ar;
    pub(super) use super::super::Binary as Bi;
    pub(super) use super::super::Order as Or;
    pub(super) use super::super::Run::{Binary as B2, Unary as U1};
    pub(super) use super::super::Signature::*;
    pub(super) use super::super::Text as Tx;
    pub(super) use super::super::TimeField as Tf;
    pub(super) use super::super::Unary as Un;
}

const COMPARISONS: &[Overload] = {
    use rows::*;
    &[
        global("_==_", &[A, A], Bool, B2(Bi::Equal)),
        global("_!=_", &[A, A], Bool, B2(Bi::NotEqual)),
        global("!_", &[Bool], Bool, U1(Un::Not)),
        global("_<_", &[Bool, Bool], Bool, B2(Bi::Order(Or::Less))),
        global("_<_", &[Int, Int], Bool, B2(Bi::Order(Or::Less))),
        global("_<_", &[Uint, Uint], Bool, B2(Bi::Order(Or::Less))),
        global("_<_", &[Double, Double], Bool, B2(Bi::Order(Or::Less))),
        global("_<_", &[String, String], Bool, B2(Bi::Order(Or::Less))),
        global("_<_", &[Bytes, Bytes], Bool, B2(Bi::Order(Or::Less))),
        global(
            "_<_",
            &[Timestamp, Timestamp],
            Bool,
            B2(Bi::Order(Or::Less)),
        ),
        global("_<_", &[Duration, Duration], Bool, B2(Bi::Order(Or::Less))),
        global("_<=_", &[Bool, Bool], Bool, B2(Bi::Order(Or::LessOrEqual))),
        global("_<=_", &[Int, Int], Bool, B2(Bi::Order(Or::LessOrEqual))),
        global("_<=_", &[Uint, Uint], Bool, B2(Bi::Order(Or::LessOrEqual))),
        global(
            "_<=_",
            &[Double, Double],
            Bool,
            B2(Bi::Order(Or::LessOrEqual)),
        ),
        global(
            "_<=_",
            &[String, String],
            Bool,
            B2(Bi::Order(Or::LessOrEqual)),
        ),
        global(
            "_<=_",
            &[Bytes, Bytes],
            Bool,
            B2(Bi::Order(Or::LessOrEqual)),
        ),
        global(
            "_<=_",
            &[Timestamp, Timestamp],
            Bool,
            B2(Bi::Order(Or::LessOrEqual)),
        ),
        global(
            "_<=_",
            &[Duration, Duration],
            Bool,
            B2(Bi::Order(Or::LessOrEqual)),
        ),
        global("_>_", &[Bool, Bool], Bool, B2(Bi::Order(Or::Greater))),
        global("_>_", &[Int, Int], Bool, B2(Bi::Order(Or::Greater))),
        global("_>_", &[Uint, Uint], Bool, B2(Bi::Order(Or::Greater))),
        global("_>_", &[Double, Double], Bool, B2(Bi::Order(Or::Greater))),
        global("_>_", &[String, String], Bool, B2(Bi::Order(Or::Greater))),
        global("_>_", &[Bytes, Bytes], Bool, B2(Bi::Order(Or::Greater))),
        global(
            "_>_",
            &[Timestamp, Timestamp],
            Bool,
            B2(Bi::Order(Or::Greater)),
        ),
        global(
            "_>_",
            &[Duration, Duration],
            Bool,
            B2(Bi::Order(Or::Greater)),
        ),
        global(
            "_>=_",
            &[Bool, Bool],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global("_>=_", &[Int, Int], Bool, B2(Bi::Order(Or::GreaterOrEqual))),
        global(
            "_>=_",
            &[Uint, Uint],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global(
            "_>=_",
            &[Double, Double],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global(
            "_>=_",
            &[String, String],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global(
            "_>=_",
            &[Bytes, Bytes],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global(
            "_>=_",
            &[Timestamp, Timestamp],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
        global(
            "_>=_",
            &[Duration, Duration],
            Bool,
            B2(Bi::Order(Or::GreaterOrEqual)),
        ),
    ]
};

const ARITHMETIC: &[Overload] = {
    use rows::*;
    &[
        global("-_", &[Int], Int, U1(Un::Negate)),
        global("-_", &[Double], Double, U1(Un::Negate)),
        global("_+_", &[Int, Int], Int, B2(Bi::Arithmetic(Ar::Add))),
        global("_+_", &[Uint, Uint], Uint, B2(Bi::Arithmetic(Ar::Add))),
        global(
            "_+_",
            &[Double, Double],
            Double,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global(
            "_+_",
            &[String, String],
            String,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global("_+_", &[Bytes, Bytes], Bytes, B2(Bi::Arithmetic(Ar::Add))),
        global(
            "_+_",
            &[ListOfA, ListOfA],
            ListOfA,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global(
            "_+_",
            &[Timestamp, Duration],
            Timestamp,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global(
            "_+_",
            &[Duration, Timestamp],
            Timestamp,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global(
            "_+_",
            &[Duration, Duration],
            Duration,
            B2(Bi::Arithmetic(Ar::Add)),
        ),
        global("_-_", &[Int, Int], Int, B2(Bi::Arithmetic(Ar::Subtract))),
        global("_-_", &[Uint, Uint], Uint, B2(Bi::Arithmetic(Ar::Subtract))),
        global(
            "_-_",
            &[Double, Double],
            Double,
            B2(Bi::Arithmetic(Ar::Subtract)),
        ),
        global(
            "_-_",
            &[Timestamp, Timestamp],
            Duration,
            B2(Bi::Arithmetic(Ar::Subtract)),
        ),
        global(
            "_-_",
            &[Timestamp, Duration],
            Timestamp,
            B2(Bi::Arithmetic(Ar::Subtract)),
        ),
        global(
            "_-_",
            &[Duration, Duration],
            Duration,
            B2(Bi::Arithmetic(Ar::Subtract)),
        ),
        global("_*_", &[Int, Int], Int, B2(Bi::Arithmetic(Ar::Multiply))),
        global("_*_", &[Uint, Uint], Uint, B2(Bi::Arithmetic(Ar::Multiply))),
        global(
            "_*_",
            &[Double, Double],
            Double,
            B2(Bi::Arithmetic(Ar::Multiply)),
        ),
        global("_/_", &[Int, Int], Int, B2(Bi::Arithmetic(Ar::Divide))),
        global("_/_", &[Uint, Uint], Uint, B2(Bi::Arithmetic(Ar::Divide))),
        global(
            "_/_",
            &[Double, Double],
            Double,
            B2(Bi::Arithmetic(Ar::Divide)),
        ),
        global("_%_", &[Int, Int], Int, B2(Bi::Arithmetic(Ar::Remainder))),
        global(
            "_%_",
            &[Uint, Uint],
            Uint,
            B2(Bi::Arithmetic(Ar::Remainder)),
        ),
    ]
};

const COLLECTIONS: &[Overload] = {
    use rows::*;
    &[
        global("@in", &[A, ListOfA], Bool, B2(Bi::In)),
        global("@in", &[A, MapOfAToB], Bool, B2(Bi::In)),
        global("_[_]", &[ListOfA, Int], A, B2(Bi::Index)),
        global("_[_]", &[MapOfAToB, A], B, B2(Bi::Index)),
        global(
            "_[_]",
            &[OptionalListOfA, Int],
            OptionalOfA,
            B2(Bi::OptionalIndex),
        ),
        global(
            "_[_]",
            &[OptionalMapOfAToB, A],
            OptionalOfB,
            B2(Bi::OptionalIndex),
        ),
        global("_[?_]", &[ListOfA, Int], OptionalOfA, B2(Bi::OptionalIndex)),
        global("_[?_]", &[MapOfAToB, A], OptionalOfB, B2(Bi::OptionalIndex)),
        global(
            "_[?_]",
            &[OptionalListOfA, Int],
            OptionalOfA,
            B2(Bi::OptionalIndex),
        ),
        global(
            "_[?_]",
            &[OptionalMapOfAToB, A],
            OptionalOfB,
            B2(Bi::OptionalIndex),
        ),
        global("size", &[String], Int, U1(Un::Size)),
        global("size", &[Bytes], Int, U1(Un::Size)),
        global("size", &[ListOfA], Int, U1(Un::Size)),
        global("size", &[MapOfAToB], Int, U1(Un::Size)),
        member("size", &[String], Int, U1(Un::Size)),
        member("size", &[Bytes], Int, U1(Un::Size)),
        member("size", &[ListOfA], Int, U1(Un::Size)),
        member("size", &[MapOfAToB], Int, U1(Un::Size)),
        member(
            "contains",
            &[String, String],
            Bool,
            B2(Bi::Text(Tx::Contains)),
        ),
        member(
            "startsWith",
            &[String, String],
            Bool,
            B2(Bi::Text(Tx::StartsWith)),
        ),
        member(
            "endsWith",
            &[String, String],
            Bool,
            B2(Bi::Text(Tx::EndsWith)),
        ),
        member(
            "matches",
            &[String, String],
            Bool,
            B2(Bi::Text(Tx::Matches)),
        ),
        global(
            "matches",
            &[String, String],
            Bool,
            B2(Bi::Text(Tx::Matches)),
        ),
        member("in_cidr", &[Ipaddress, String], Bool, B2(Bi::InCidr)),
        member(
            "isSubtreeOf",
            &[MapOfStringToDyn, MapOfStringToDyn],
            Bool,
            B2(Bi::IsSubtreeOf),
        ),
    ]
};

const CONVERSIONS: &[Overload] = {
    use rows::*;
    &[
        global("dyn", &[A], Dyn, U1(Un::Dyn)),
        global("type", &[A], Type, U1(Un::Type)),
        global("bool", &[Bool], Bool, U1(Un::Bool)),
        global("bool", &[String], Bool, U1(Un::Bool)),
        global("int", &[Int], Int, U1(Un::Int)),
        global("int", &[Uint], Int, U1(Un::Int)),
        global("int", &[Double], Int, U1(Un::Int)),
        global("int", &[String], Int, U1(Un::Int)),
        global("int", &[Timestamp], Int, U1(Un::Int)),
        global("int", &[Duration], Int, U1(Un::Int)),
        global("uint", &[Int], Uint, U1(Un::Uint)),
        global("uint", &[Uint], Uint, U1(Un::Uint)),
        global("uint", &[Double], Uint, U1(Un::Uint)),
        global("uint", &[String], Uint, U1(Un::Uint)),
        global("double", &[Int], Double, U1(Un::Double)),
        global("double", &[Uint], Double, U1(Un::Double)),
        global("double", &[Double], Double, U1(Un::Double)),
        global("double", &[String], Double, U1(Un::Double)),
        global("string", &[Bool], String, U1(Un::String)),
        global("string", &[Int], String, U1(Un::String)),
        global("string", &[Uint], String, U1(Un::String)),
        global("string", &[Double], String, U1(Un::String)),
        global("string", &[String], String, U1(Un::String)),
        global("string", &[Bytes], String, U1(Un::String)),
        global("string", &[Timestamp], String, U1(Un::String)),
        global("string", &[Duration], String, U1(Un::String)),
        global("bytes", &[Bytes], Bytes, U1(Un::Bytes)),
        global("bytes", &[String], Bytes, U1(Un::Bytes)),
        global("duration", &[Duration], Duration, U1(Un::Duration)),
        global("duration", &[String], Duration, U1(Un::Duration)),
        global("duration", &[Int], Duration, U1(Un::Duration)),
        global("timestamp", &[Timestamp], Timestamp, U1(Un::Timestamp)),
        global("timestamp", &[String], Timestamp, U1(Un::Timestamp)),
        global("timestamp", &[Int], Timestamp, U1(Un::Timestamp)),
    ]
};

const TIMES: &[Overload] = {
    use rows::*;
    &[
        member("getFullYear", &[Timestamp], Int, U1(Un::Time(Tf::FullYear))),
        member(
            "getFullYear",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::FullYear)),
        ),
        member("getMonth", &[Timestamp], Int, U1(Un::Time(Tf::Month))),
        member(
            "getMonth",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::Month)),
        ),
        member("getDate", &[Timestamp], Int, U1(Un::Time(Tf::Date))),
        member("getDate", &[Timestamp, String], Int, B2(Bi::Time(Tf::Date))),
        member(
            "getDayOfMonth",
            &[Timestamp],
            Int,
            U1(Un::Time(Tf::DayOfMonth)),
        ),
        member(
            "getDayOfMonth",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::DayOfMonth)),
        ),
        member(
            "getDayOfWeek",
            &[Timestamp],
            Int,
            U1(Un::Time(Tf::DayOfWeek)),
        ),
        member(
            "getDayOfWeek",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::DayOfWeek)),
        ),
        member(
            "getDayOfYear",
            &[Timestamp],
            Int,
            U1(Un::Time(Tf::DayOfYear)),
        ),
        member(
            "getDayOfYear",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::DayOfYear)),
        ),
        member("getHours", &[Timestamp], Int, U1(Un::Time(Tf::Hours))),
        member(
            "getHours",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::Hours)),
        ),
        member("getHours", &[Duration], Int, U1(Un::Time(Tf::Hours))),
        member("getMinutes", &[Timestamp], Int, U1(Un::Time(Tf::Minutes))),
        member(
            "getMinutes",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::Minutes)),
        ),
        member("getMinutes", &[Duration], Int, U1(Un::Time(Tf::Minutes))),
        member("getSeconds", &[Timestamp], Int, U1(Un::Time(Tf::Seconds))),
        member(
            "getSeconds",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::Seconds)),
        ),
        member("getSeconds", &[Duration], Int, U1(Un::Time(Tf::Seconds))),
        member(
            "getMilliseconds",
            &[Timestamp],
            Int,
            U1(Un::Time(Tf::Milliseconds)),
        ),
        member(
            "getMilliseconds",
            &[Timestamp, String],
            Int,
            B2(Bi::Time(Tf::Milliseconds)),
        ),
        member(
            "getMilliseconds",
            &[Duration],
            Int,
            U1(Un::Time(Tf::Milliseconds)),
        ),
    ]
};

const OPTIONALS: &[Overload] = {
    use self::Run::{OptionalNone, OptionalOr, OptionalOrValue};
    use rows::*;
    &[
        global("optional.of", &[A], OptionalOfA, U1(Un::OptionalOf)),
        global(
            "optional.ofNonZeroValue",
            &[A],
            OptionalOfA,
            U1(Un::OptionalOfNonZero),
        ),
        global("optional.none", &[], OptionalOfA, OptionalNone),
        member("hasValue", &[OptionalOfA], Bool, U1(Un::OptionalHasValue)),
        member("value", &[OptionalOfA], A, U1(Un::OptionalValue)),
        member("or", &[OptionalOfA, OptionalOfA], OptionalOfA, OptionalOr),
        member("orValue", &[OptionalOfA, A], A, OptionalOrValue),
    ]
};
