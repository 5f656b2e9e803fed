//! The expressions of permissions. `+` binds tighter than `&`, and that tighter than `-`.

use super::{DEPTH_MAX, Parsed, Parser};
use crate::lexer::Kind;
use crate::syntax::{ArrowWay, ExpressionSyntax, Name, Operator};

/// An expression and how many operators are within each other in it.
struct Measured {
    expression: ExpressionSyntax,
    height: usize,
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Option<ExpressionSyntax>> {
        Ok(self.measured()?.map(|measured| measured.expression))
    }

    fn measured(&mut self) -> Parsed<Option<Measured>> {
        self.operators(&[
            (Kind::Minus, Operator::Exclusion),
            (Kind::And, Operator::Intersection),
            (Kind::Plus, Operator::Union),
        ])
    }

    /// Operators from the loosest to the tightest, each from the left.
    fn operators(&mut self, levels: &[(Kind, Operator)]) -> Parsed<Option<Measured>> {
        let Some(((kind, operator), tighter)) = levels.split_first() else {
            return self.term();
        };
        let Some(first) = self.operators(tighter)? else {
            return Ok(None);
        };
        if self.current.kind != *kind {
            return Ok(Some(first));
        }
        let mut height = first.height;
        let mut operands = vec![first.expression];
        while self.take(*kind) {
            let Some(operand) = self.operators(tighter)? else {
                let found = self.current.kind;
                return Err(self.error(format!("Expected right hand expression, found: {found}")));
            };
            height = height.max(operand.height);
            operands.push(operand.expression);
            if *operator == Operator::Exclusion {
                height += 1;
                if operands.len() > DEPTH_MAX {
                    return Err(self.error(format!("more than {DEPTH_MAX} exclusions in a row")));
                }
            }
        }
        if *operator != Operator::Exclusion {
            height += 1;
        }
        if height > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let operator = *operator;
        let expression = ExpressionSyntax::Operation { operator, operands };
        Ok(Some(Measured { expression, height }))
    }

    fn term(&mut self) -> Parsed<Option<Measured>> {
        if self.take(Kind::LeftParen) {
            return self.parenthesized().map(Some);
        }
        let expression = if self.take_keyword("nil") {
            ExpressionSyntax::Nil
        } else if self.take_keyword("self") {
            ExpressionSyntax::SelfObject
        } else if self.current.kind == Kind::Identifier {
            self.reference()?
        } else {
            return Ok(None);
        };
        let height = 0;
        Ok(Some(Measured { expression, height }))
    }

    fn parenthesized(&mut self) -> Parsed<Measured> {
        self.enter()?;
        let Some(inner) = self.measured()? else {
            if self.current.kind == Kind::RightParen {
                return Err(self.error("Expected compute expression for permission"));
            }
            return Err(self.expected(Kind::RightParen));
        };
        self.depth -= 1;
        self.expect(Kind::RightParen)?;
        Ok(inner)
    }

    /// A member of this object, or an arrow from one.
    fn reference(&mut self) -> Parsed<ExpressionSyntax> {
        let left = self.name();
        let start = left.span.start;
        let arrow = if self.take(Kind::RightArrow) {
            let (way, right) = (ArrowWay::Plain, self.arrow_target()?);
            ExpressionSyntax::Arrow { left, way, right }
        } else if self.take(Kind::Period) {
            self.arrow_function(left)?
        } else {
            return Ok(ExpressionSyntax::Member(left));
        };
        if matches!(self.current.kind, Kind::RightArrow | Kind::Period) {
            let hint = "name a permission on the object in between, and walk to that";
            return Err(self
                .node_error(start..self.end(), "", "Nested arrows not yet supported")
                .hinted(Some(hint.to_owned())));
        }
        Ok(arrow)
    }

    fn arrow_target(&mut self) -> Parsed<Name> {
        if self.current.kind == Kind::Identifier {
            return Ok(self.name());
        }
        let found = self.current.kind;
        Err(self.error(format!("Expected right hand expression, found: {found}")))
    }

    fn arrow_function(&mut self, left: Name) -> Parsed<ExpressionSyntax> {
        let function = self.identifier()?;
        let way = match function.text.as_str() {
            "any" => ArrowWay::Any,
            "all" => ArrowWay::All,
            other => {
                return Err(self.error(format!(
                    "Expected 'any' or 'all' for arrow function, found: {other}"
                )));
            }
        };
        self.expect(Kind::LeftParen)?;
        let right = self.arrow_target()?;
        self.expect(Kind::RightParen)?;
        Ok(ExpressionSyntax::Arrow { left, way, right })
    }
}
