//! An expression as text: one canonical form, whatever the spacing, brackets and comments of the source.
//!
//! SOURCE: recorded reads of schemas. Brackets stand where the peer prints them: where precedence needs them, and
//! around operators inside of `?:`, `!` and `-`. A line is broken after the first `&&` or `||` past
//! [`LINE_COLUMNS`]. Where that form would not read back as the same tree, brackets are added.

use super::syntax::{Element, Entry, Expr, Kind, Literal, Macro};

const LINE_COLUMNS: usize = 80;

/// Prints `expr`.
pub(super) fn print(expr: &Expr) -> String {
    let mut printer = Printer {
        text: String::new(),
        line_start: 0,
    };
    printer.expr(expr);
    printer.text
}

struct Printer {
    text: String,
    line_start: usize,
}

impl Printer {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn nested(&mut self, expr: &Expr, brackets: bool) {
        if brackets {
            self.push("(");
        }
        self.expr(expr);
        if brackets {
            self.push(")");
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Literal(literal) => self.literal(literal),
            Kind::Ident(name) => self.push(name),
            Kind::Select {
                operand,
                field,
                is_optional,
            } => {
                self.nested(operand, is_open(operand));
                self.push(if *is_optional { ".?" } else { "." });
                self.push(field);
            }
            Kind::Has { operand, field } => {
                self.push("has(");
                self.nested(operand, is_open(operand));
                self.push(".");
                self.push(field);
                self.push(")");
            }
            Kind::Index {
                operand,
                index,
                is_optional,
            } => {
                self.nested(operand, is_open(operand));
                self.push(if *is_optional { "[?" } else { "[" });
                self.expr(index);
                self.push("]");
            }
            Kind::Call {
                target,
                function,
                arguments,
            } => {
                if let Some(target) = target {
                    self.nested(target, is_open(target));
                    self.push(".");
                }
                self.push(function);
                self.push("(");
                self.separated(arguments);
                self.push(")");
            }
            Kind::Macro(called) => self.macro_call(called),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Not(operand) => self.unary("!", operand),
            Kind::Negate(operand) => self.unary("-", operand),
            Kind::Binary {
                operator,
                left,
                right,
            } => {
                let looseness = operator.looseness();
                self.nested(left, left.kind.looseness() > looseness);
                self.push(" ");
                self.push(operator.text());
                self.push(" ");
                self.nested(right, right.kind.looseness() >= looseness);
            }
            Kind::And(operands) => self.joined("&&", operands, expr.kind.looseness()),
            Kind::Or(operands) => self.joined("||", operands, expr.kind.looseness()),
            Kind::Conditional { condition, yes, no } => {
                self.nested(condition, has_two_operands(condition));
                self.push(" ? ");
                self.nested(yes, has_two_operands(yes));
                self.push(" : ");
                self.nested(no, has_two_operands(no));
            }
        }
    }

    fn separated(&mut self, exprs: &[Expr]) {
        for (ix, expr) in exprs.iter().enumerate() {
            if ix > 0 {
                self.push(", ");
            }
            self.expr(expr);
        }
    }

    fn macro_call(&mut self, called: &Macro) {
        self.nested(&called.range, is_open(&called.range));
        self.push(".");
        self.push(called.name.text());
        self.push("(");
        self.push(&called.variable);
        self.push(", ");
        self.separated(&called.steps);
        self.push(")");
    }

    fn list(&mut self, elements: &[Element]) {
        self.push("[");
        for (ix, element) in elements.iter().enumerate() {
            if ix > 0 {
                self.push(", ");
            }
            if element.is_optional {
                self.push("?");
            }
            self.expr(&element.item);
        }
        self.push("]");
    }

    fn map(&mut self, entries: &[Entry]) {
        self.push("{");
        for (ix, entry) in entries.iter().enumerate() {
            if ix > 0 {
                self.push(", ");
            }
            if entry.is_optional {
                self.push("?");
            }
            self.expr(&entry.key);
            self.push(": ");
            self.expr(&entry.value);
        }
        self.push("}");
    }

    fn unary(&mut self, operator: &str, operand: &Expr) {
        // `--aa` would read as `aa`.
        let joins = matches!(operand.kind, Kind::Not(_) | Kind::Negate(_)) || is_negative(operand);
        self.push(operator);
        self.nested(operand, joins || has_two_operands(operand));
    }

    fn joined(&mut self, operator: &str, operands: &[Expr], looseness: u8) {
        for (ix, operand) in operands.iter().enumerate() {
            if ix > 0 {
                // The width counts the operator with the blanks around it.
                let breaks = self.text.len() - self.line_start + operator.len() + 2 >= LINE_COLUMNS;
                if breaks {
                    self.line_start = self.text.len();
                }
                self.push(" ");
                self.push(operator);
                self.push(if breaks { "\n" } else { " " });
            }
            self.nested(operand, operand.kind.looseness() > looseness);
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.push("null"),
            Literal::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Literal::Int(number) => self.push(&number.to_string()),
            Literal::Uint(number) => {
                self.push(&number.to_string());
                self.push("u");
            }
            Literal::Double(number) => {
                let text = number_text(*number);
                self.push(&text);
                if !text.contains(['.', 'e']) {
                    self.push(".0");
                }
            }
            Literal::String(text) => self.push(&quoted(text)),
            Literal::Bytes(bytes) => {
                self.push("b\"");
                for byte in bytes {
                    self.push(&format!("\\{byte:03o}"));
                }
                self.push("\"");
            }
        }
    }
}

/// Whether a `.` or `[` after the text of `expr` would bind to its last operand only.
fn is_open(expr: &Expr) -> bool {
    expr.kind.looseness() > 1 || is_negative(expr)
}

fn is_negative(expr: &Expr) -> bool {
    if let Kind::Literal(Literal::Int(number)) = expr.kind {
        return number < 0;
    }
    matches!(expr.kind, Kind::Literal(Literal::Double(number)) if number.is_sign_negative())
}

/// Whether the peer sees an operator here that it brackets inside of `?:`, `!` and `-`.
fn has_two_operands(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Call {
            target: _,
            arguments,
            ..
        } => arguments.len() >= 2,
        Kind::Binary { .. }
        | Kind::And(_)
        | Kind::Or(_)
        | Kind::Conditional { .. }
        | Kind::Index { .. } => true,
        Kind::Select { is_optional, .. } => *is_optional,
        Kind::Literal(_)
        | Kind::Ident(_)
        | Kind::Has { .. }
        | Kind::List(_)
        | Kind::Map(_)
        | Kind::Not(_)
        | Kind::Negate(_)
        | Kind::Macro(_) => false,
    }
}

/// A string between double quotes, with escapes for what does not print.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{07}' => quoted.push_str("\\a"),
            '\u{08}' => quoted.push_str("\\b"),
            '\u{0b}' => quoted.push_str("\\v"),
            '\u{0c}' => quoted.push_str("\\f"),
            control if control.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// A double in the shortest form that reads back, with an exponent below -4 and from 6 on.
///
/// SOURCE: recorded: `1.7040672e+09`, `1e+300`, `1.5`.
pub(super) fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
