//! The grammar of caveat expressions: words in, a tree out.
//!
//! INVARIANT: a tree that comes out is at most [`HEIGHT_MAX`] operators high, and the parser itself goes at most
//! [`DEPTH_MAX`] brackets deep, so neither it nor the passes over the tree can exhaust the stack.

use super::error::{Fault, FaultKind};
use super::lexer::{Token, Word, tokens};
use super::syntax::{Element, Entry, Expr, Kind, Literal, Macro, MacroName, Operator};
use super::{DEPTH_MAX, HEIGHT_MAX};

/// SOURCE: the reserved words of the CEL grammar.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

const OPERAND_EXPECTED: &str = "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', \
    NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Parses a whole source.
pub(super) fn parse(source: &str) -> Result<Expr, Fault> {
    let mut parser = Parser {
        source,
        tokens: tokens(source)?,
        next: 0,
        depth: 0,
    };
    let expr = parser.expr()?;
    if *parser.word() != Word::End {
        return Err(parser.unexpected("extraneous input", "expecting <EOF>"));
    }
    Ok(expr)
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn word(&self) -> &Word {
        self.tokens
            .get(self.next)
            .map_or(&Word::End, |token| &token.word)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.source.len(), |token| token.at)
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.word(), Word::Symbol(found) if *found == symbol)
    }

    /// Passes the symbol and says where it stood.
    fn take(&mut self, symbol: &str) -> Option<usize> {
        let at = self.at();
        self.is(symbol).then(|| {
            self.next += 1;
            at
        })
    }

    fn require(&mut self, symbol: &str) -> Result<usize, Fault> {
        match self.take(symbol) {
            Some(at) => Ok(at),
            None => Err(self.unexpected("mismatched input", &format!("expecting '{symbol}'"))),
        }
    }

    fn unexpected(&self, problem: &str, expected: &str) -> Fault {
        let at = self.at();
        let next = self.tokens.get(self.next + 1);
        let end = next.map_or(self.source.len(), |token| token.at);
        let is_end = *self.word() == Word::End;
        let found = self
            .source
            .get(at..end)
            .filter(|_| !is_end)
            .unwrap_or("<EOF>");
        let found: String = found
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .chars()
            .take(64)
            .collect();
        Fault::syntax(at, format!("{problem} '{found}' {expected}"))
    }

    fn expr(&mut self) -> Result<Expr, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault {
                at: self.at(),
                kind: FaultKind::TooDeep,
            });
        }
        self.depth += 1;
        let condition = self.operators(7)?;
        let expr = match self.take("?") {
            None => condition,
            Some(at) => {
                let yes = self.operators(7)?;
                self.require(":")?;
                let no = self.expr()?;
                let heights = [condition.height, yes.height, no.height];
                let kind = Kind::Conditional {
                    condition: Box::new(condition),
                    yes: Box::new(yes),
                    no: Box::new(no),
                };
                node(at, kind, heights)?
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Operands between operators that bind no looser than `looseness`.
    fn operators(&mut self, looseness: u8) -> Result<Expr, Fault> {
        let mut left = self.unary()?;
        loop {
            let Some((operator, binds)) = self.operator().filter(|(_, binds)| *binds <= looseness)
            else {
                return Ok(left);
            };
            let at = self.at();
            self.next += 1;
            let right = self.operators(binds - 1)?;
            let heights = [left.height, right.height];
            left = match operator {
                Infix::Operator(operator) => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    node(
                        at,
                        Kind::Binary {
                            operator,
                            left,
                            right,
                        },
                        heights,
                    )?
                }
                Infix::And => join(at, left, right, true)?,
                Infix::Or => join(at, left, right, false)?,
            };
        }
    }

    fn operator(&self) -> Option<(Infix, u8)> {
        let text = match self.word() {
            Word::Symbol("&&") => return Some((Infix::And, 6)),
            Word::Symbol("||") => return Some((Infix::Or, 7)),
            Word::Symbol(symbol) => symbol,
            Word::Ident(name) => name.as_str(),
            Word::Int(_)
            | Word::Uint(_)
            | Word::Double(_)
            | Word::String(_)
            | Word::Bytes(_)
            | Word::End => {
                return None;
            }
        };
        let operator = Operator::ALL
            .into_iter()
            .find(|operator| operator.text() == text)?;
        Some((Infix::Operator(operator), operator.looseness()))
    }

    /// A sign or a negation that is repeated an even number of times is none; nor is one before a zero.
    fn unary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        if !self.is("!") && !self.is("-") || self.is_negative_number() {
            return self.member();
        }
        let is_not = self.is("!");
        let count = self.repeated(if is_not { "!" } else { "-" });
        let operand = self.member()?;
        let is_zero = matches!(operand.kind, Kind::Literal(Literal::Int(0)));
        if count.is_multiple_of(2) || (is_zero && !is_not) {
            return Ok(operand);
        }
        let height = operand.height;
        let operand = Box::new(operand);
        node(
            at,
            if is_not {
                Kind::Not(operand)
            } else {
                Kind::Negate(operand)
            },
            [height],
        )
    }

    fn repeated(&mut self, symbol: &str) -> usize {
        let start = self.next;
        while self.take(symbol).is_some() {}
        self.next - start
    }

    fn is_negative_number(&self) -> bool {
        let number = self.tokens.get(self.next + 1).map(|token| &token.word);
        self.is("-") && matches!(number, Some(Word::Int(_) | Word::Double(_)))
    }

    fn member(&mut self) -> Result<Expr, Fault> {
        let mut target = self.primary()?;
        loop {
            let height = target.height;
            if let Some(at) = self.take(".") {
                let is_optional = self.take("?").is_some();
                let field = self.name()?;
                let call = if is_optional { None } else { self.take("(") };
                target = match call {
                    Some(at) => {
                        let arguments = self.arguments()?;
                        member_call(at, target, field, arguments)?
                    }
                    None => {
                        let operand = Box::new(target);
                        node(
                            at,
                            Kind::Select {
                                operand,
                                field,
                                is_optional,
                            },
                            [height],
                        )?
                    }
                };
            } else if let Some(at) = self.take("[") {
                let is_optional = self.take("?").is_some();
                let index = self.expr()?;
                self.require("]")?;
                let heights = [height, index.height];
                let (operand, index) = (Box::new(target), Box::new(index));
                target = node(
                    at,
                    Kind::Index {
                        operand,
                        index,
                        is_optional,
                    },
                    heights,
                )?;
            } else if self.is("{") && matches!(target.kind, Kind::Ident(_) | Kind::Select { .. }) {
                return Err(self.message(target));
            } else {
                return Ok(target);
            }
        }
    }

    /// Messages are part of the grammar, but no message type is declared.
    fn message(&self, name: Expr) -> Fault {
        let text = self.source.get(name.at..self.at()).unwrap_or_default();
        let name = if let Kind::Ident(name) = &name.kind {
            name.as_str()
        } else {
            text.trim_start_matches('.').trim()
        };
        Fault::check(self.at(), undeclared(name))
    }

    fn name(&mut self) -> Result<String, Fault> {
        if let Word::Ident(name) = self.word()
            && !matches!(name.as_str(), "in" | "true" | "false" | "null")
        {
            let name = name.clone();
            self.next += 1;
            return Ok(name);
        }
        Err(self.unexpected("mismatched input", "expecting IDENTIFIER"))
    }

    /// The arguments of a call after its opening bracket.
    fn arguments(&mut self) -> Result<Vec<Expr>, Fault> {
        let mut arguments = Vec::new();
        if self.take(")").is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr()?);
            if self.take(",").is_none() {
                self.require(")")?;
                return Ok(arguments);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        if let Some(literal) = self.literal()? {
            return node(at, Kind::Literal(literal), []);
        }
        if self.take("(").is_some() {
            let expr = self.expr()?;
            self.require(")")?;
            return Ok(expr);
        }
        if let Some(at) = self.take("[") {
            return self.list(at);
        }
        if let Some(at) = self.take("{") {
            return self.map(at);
        }
        let is_rooted = self.take(".").is_some();
        let Word::Ident(name) = self.word() else {
            return Err(self.unexpected("mismatched input", OPERAND_EXPECTED));
        };
        if name == "in" {
            return Err(self.unexpected("mismatched input", OPERAND_EXPECTED));
        }
        let reserved = RESERVED.contains(&name.as_str());
        let name = if is_rooted {
            format!(".{name}")
        } else {
            name.clone()
        };
        self.next += 1;
        if let Some(at) = self.take("(") {
            let arguments = self.arguments()?;
            return global_call(at, name, arguments);
        }
        if reserved {
            return Err(Fault::check(at, format!("reserved identifier: {name}")));
        }
        node(at, Kind::Ident(name), [])
    }

    fn literal(&mut self) -> Result<Option<Literal>, Fault> {
        let at = self.at();
        let is_negative = self.is_negative_number();
        if is_negative {
            self.next += 1;
        }
        let literal = match self.word() {
            Word::Int(number) => {
                let number = i128::from(*number);
                let number = i64::try_from(if is_negative { -number } else { number });
                Literal::Int(
                    number.map_err(|_| Fault::syntax(at, "invalid int literal".to_owned()))?,
                )
            }
            Word::Double(number) => Literal::Double(if is_negative { -number } else { *number }),
            Word::Uint(number) => Literal::Uint(*number),
            Word::String(text) => Literal::String(text.clone()),
            Word::Bytes(bytes) => Literal::Bytes(bytes.clone()),
            Word::Ident(name) => match name.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                _ => return Ok(None),
            },
            Word::Symbol(_) | Word::End => return Ok(None),
        };
        self.next += 1;
        Ok(Some(literal))
    }

    fn list(&mut self, at: usize) -> Result<Expr, Fault> {
        let mut elements = Vec::new();
        while self.take("]").is_none() {
            let is_optional = self.take("?").is_some();
            elements.push(Element {
                is_optional,
                item: self.expr()?,
            });
            if self.take(",").is_none() {
                self.require("]")?;
                break;
            }
        }
        let heights: Vec<u16> = elements.iter().map(|element| element.item.height).collect();
        node(at, Kind::List(elements), heights)
    }

    fn map(&mut self, at: usize) -> Result<Expr, Fault> {
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let is_optional = self.take("?").is_some();
            let key = self.expr()?;
            self.require(":")?;
            entries.push(Entry {
                is_optional,
                key,
                value: self.expr()?,
            });
            if self.take(",").is_none() {
                self.require("}")?;
                break;
            }
        }
        let heights: Vec<u16> = entries
            .iter()
            .map(|entry| entry.key.height.max(entry.value.height))
            .collect();
        node(at, Kind::Map(entries), heights)
    }
}

enum Infix {
    And,
    Or,
    Operator(Operator),
}

/// An expression over operands of these heights.
fn node(at: usize, kind: Kind, heights: impl IntoIterator<Item = u16>) -> Result<Expr, Fault> {
    let height = heights.into_iter().max().unwrap_or(0) + 1;
    if height > HEIGHT_MAX {
        return Err(Fault {
            at,
            kind: FaultKind::TooDeep,
        });
    }
    Ok(Expr { at, height, kind })
}

/// One flat list of the operands of `left` and `right`.
fn join(at: usize, left: Expr, right: Expr, is_and: bool) -> Result<Expr, Fault> {
    let mut height = 0;
    let mut split = |expr: Expr| match (expr.kind, is_and) {
        (Kind::And(operands), true) | (Kind::Or(operands), false) => {
            height = height.max(expr.height - 1);
            operands
        }
        (kind, _) => {
            height = height.max(expr.height);
            vec![Expr { kind, ..expr }]
        }
    };
    let mut joined = split(left);
    joined.append(&mut split(right));
    node(
        at,
        if is_and {
            Kind::And(joined)
        } else {
            Kind::Or(joined)
        },
        [height],
    )
}

fn global_call(at: usize, function: String, mut arguments: Vec<Expr>) -> Result<Expr, Fault> {
    if function == "has" && arguments.len() == 1 {
        let height = arguments.iter().map(|argument| argument.height).max();
        return match arguments.pop().map(|argument| argument.kind) {
            Some(Kind::Select {
                operand,
                field,
                is_optional: false,
            }) => node(at, Kind::Has { operand, field }, height),
            _ => Err(Fault::check(
                at,
                "invalid argument to has() macro".to_owned(),
            )),
        };
    }
    let heights: Vec<u16> = arguments.iter().map(|argument| argument.height).collect();
    node(
        at,
        Kind::Call {
            target: None,
            function,
            arguments,
        },
        heights,
    )
}

fn member_call(
    at: usize,
    target: Expr,
    function: String,
    mut arguments: Vec<Expr>,
) -> Result<Expr, Fault> {
    let mut heights: Vec<u16> = arguments.iter().map(|argument| argument.height).collect();
    heights.push(target.height);
    let is_macro = MacroName::ALL
        .into_iter()
        .find(|name| name.text() == function && name.takes(arguments.len().saturating_sub(1)));
    if let Some(name) = is_macro {
        let variable = arguments.remove(0);
        let Kind::Ident(text) = variable.kind else {
            return Err(Fault::check(
                variable.at,
                "argument must be a simple name".to_owned(),
            ));
        };
        if text.starts_with('.') {
            return Err(Fault::check(
                variable.at,
                "argument must be a simple name".to_owned(),
            ));
        }
        let made = Macro {
            name,
            range: target,
            variable: text,
            steps: arguments,
        };
        return node(at, Kind::Macro(Box::new(made)), heights);
    }
    node(
        at,
        Kind::Call {
            target: Some(Box::new(target)),
            function,
            arguments,
        },
        heights,
    )
}

/// The text of an error about a name that is not declared.
pub(super) fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}
