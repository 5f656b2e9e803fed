//! Two printers: a file in the one form, with its order and its comments; and the text that a schema is read back as.

mod file;

use crate::compiled::{
    AllowedSubject, Arrow, Caveat, Definition, Expression, Member, MemberKind, Quantifier, Schema,
};

pub use file::format;

impl Schema {
    /// The schema as text in the form of the wire: caveats and then definitions by name, tabs, no annotations.
    ///
    /// Compiling it yields the same schema, but for the order.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_text_of(|_| true, |_| true)
    }

    /// As [`Self::to_text`], without the definitions and caveats that are not to be kept.
    #[must_use]
    pub fn to_text_of(
        &self,
        keeps: impl Fn(&Definition) -> bool,
        keeps_caveat: impl Fn(&Caveat) -> bool,
    ) -> String {
        let mut items = Vec::new();
        let mut definitions: Vec<&Definition> = self
            .written_definitions()
            .map(|(_, definition)| definition)
            .filter(|definition| keeps(definition))
            .collect();
        definitions.sort_by(|left, right| left.name.cmp(&right.name));
        let members = || {
            let all = definitions.iter().flat_map(|each| &each.members);
            all.map(|ix| self.member(*ix))
        };
        if members().filter_map(expression).any(Expression::has_self) {
            items.push("use self".to_owned());
        }
        if members()
            .flat_map(allowed_subjects)
            .any(|subject| subject.expiration)
        {
            items.push("use expiration".to_owned());
        }
        let caveats = self.caveats().map(|(_, caveat)| caveat);
        let mut caveats: Vec<&Caveat> = caveats.filter(|caveat| keeps_caveat(caveat)).collect();
        caveats.sort_by(|left, right| left.name.cmp(&right.name));
        items.extend(caveats.into_iter().map(caveat_text));
        items.extend(
            definitions
                .into_iter()
                .map(|definition| self.definition_text(definition)),
        );
        items.join("\n\n")
    }

    fn definition_text(&self, definition: &Definition) -> String {
        let mut text = with_comment(&definition.comment, "");
        text.push_str(&format!("definition {} {{", definition.name));
        if definition.members.is_empty() {
            text.push('}');
            return text;
        }
        for (place, ix) in definition.members.iter().enumerate() {
            let member = self.member(*ix);
            // A comment stands apart from what is before it.
            text.push_str(if place > 0 && !member.comment.is_empty() {
                "\n\n"
            } else {
                "\n"
            });
            text.push_str(&with_comment(&member.comment, "\t"));
            match &member.kind {
                MemberKind::Relation(allowed) => {
                    let types: Vec<String> = allowed
                        .iter()
                        .map(|allowed| allowed.to_text(self))
                        .collect();
                    text.push_str(&format!(
                        "\trelation {}: {}",
                        member.name,
                        types.join(" | ")
                    ));
                }
                MemberKind::Permission(expression) => {
                    text.push_str(&format!(
                        "\tpermission {} = {}",
                        member.name,
                        self.expression_text(expression)
                    ));
                }
            }
        }
        text.push_str("\n}");
        text
    }

    /// An expression as it is written.
    #[must_use]
    pub fn expression_text(&self, expression: &Expression) -> String {
        match expression {
            Expression::Nil => "nil".to_owned(),
            Expression::SelfObject => "self".to_owned(),
            Expression::Member(member) => self.member(*member).name.to_string(),
            Expression::Arrow(arrow) => self.arrow_text(arrow),
            Expression::Union(operands) => self.joined(operands, " + "),
            Expression::Intersection(operands) => self.joined(operands, " & "),
            Expression::Exclusion(left, right) => {
                format!("{} - {}", self.operand_text(left), self.operand_text(right))
            }
        }
    }

    fn joined(&self, operands: &[Expression], operator: &str) -> String {
        let operands: Vec<String> = operands
            .iter()
            .map(|operand| self.operand_text(operand))
            .collect();
        operands.join(operator)
    }

    /// An operand; a union needs no parentheses, since nothing binds tighter.
    fn operand_text(&self, operand: &Expression) -> String {
        let text = self.expression_text(operand);
        match operand {
            Expression::Intersection(_) | Expression::Exclusion(..) => format!("({text})"),
            Expression::Nil
            | Expression::SelfObject
            | Expression::Member(_)
            | Expression::Arrow(_)
            | Expression::Union(_) => text,
        }
    }

    fn arrow_text(&self, arrow: &Arrow) -> String {
        let (left, right) = (&self.member(arrow.relation).name, &arrow.target);
        match (arrow.quantifier, arrow.is_function) {
            (Quantifier::Any, false) => format!("{left}->{right}"),
            (Quantifier::Any, true) => format!("{left}.any({right})"),
            (Quantifier::All, _) => format!("{left}.all({right})"),
        }
    }
}

impl Expression {
    /// Whether `self` occurs in it.
    pub(crate) fn has_self(&self) -> bool {
        match self {
            Self::SelfObject => true,
            Self::Nil | Self::Member(_) | Self::Arrow(_) => false,
            Self::Union(operands) | Self::Intersection(operands) => {
                operands.iter().any(Self::has_self)
            }
            Self::Exclusion(left, right) => left.has_self() || right.has_self(),
        }
    }
}

fn expression(member: &Member) -> Option<&Expression> {
    match &member.kind {
        MemberKind::Relation(_) => None,
        MemberKind::Permission(expression) => Some(expression),
    }
}

fn allowed_subjects(member: &Member) -> &[AllowedSubject] {
    match &member.kind {
        MemberKind::Relation(allowed) => allowed,
        MemberKind::Permission(_) => &[],
    }
}

fn caveat_text(caveat: &Caveat) -> String {
    let mut parameters: Vec<String> = caveat
        .program
        .parameters()
        .iter()
        .map(|parameter| format!("{} {}", parameter.name, parameter.ty))
        .collect();
    parameters.sort_unstable();
    let expression = caveat.program.to_text().replace('\n', "\n\t");
    let comment = with_comment(&caveat.comment, "");
    format!(
        "{comment}caveat {}({}) {{\n\t{expression}\n}}",
        caveat.name,
        parameters.join(", ")
    )
}

fn with_comment(comment: &str, indent: &str) -> String {
    comment
        .lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}
