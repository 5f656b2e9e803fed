//! The formatter of files: the order, the comments and the blank lines between groups stay; space and parentheses are
//! put in form.

use std::ops::Range;

use crate::diagnostic::SchemaError;
use crate::lexer::Comment;
use crate::parser;
use crate::syntax::{
    ArrowWay, Block, CaveatSyntax, ExpressionSyntax, File, Item, ItemKind, MemberSyntax,
    MemberSyntaxKind, Operator, ParameterTypeSyntax, TypeKind, TypeSyntax,
};

/// Puts a schema file in the one form. Formatting what was formatted changes nothing.
///
/// # Errors
/// [`SchemaError`] if it cannot be read. Names and types are not looked at.
pub fn format(text: &str) -> Result<String, SchemaError> {
    let file = parser::parse(text).map_err(SchemaError::first)?;
    let mut printer = Printer {
        text,
        comments: &file.comments,
        next: 0,
        at: 0,
        out: String::new(),
        is_first: true,
        held: Vec::new(),
    };
    printer.file(&file);
    Ok(printer.out)
}

struct Printer<'a> {
    text: &'a str,
    comments: &'a [Comment],
    /// The first comment that is not printed yet.
    next: usize,
    /// Where the source has been printed up to.
    at: usize,
    out: String,
    /// Whether nothing has been printed in this block.
    is_first: bool,
    /// Comments that document nothing, for the end of the next statement: before it they would document that.
    held: Vec<&'a str>,
}

impl<'a> Printer<'a> {
    fn file(&mut self, file: &File) {
        let mut was_use = false;
        for (place, item) in file.items.iter().enumerate() {
            let is_use = matches!(item.kind, ItemKind::Use(_) | ItemKind::Import(_));
            let parts = !(self.is_first || was_use && is_use);
            self.hold(item.span.start);
            self.lead(item.span.start, "", parts);
            self.item(item);
            let next = file.items.get(place + 1).map(|item| item.span.start);
            self.trail(item.span.end, next);
            was_use = is_use;
        }
        self.lead(self.text.len(), "", false);
    }

    fn item(&mut self, item: &Item) {
        match &item.kind {
            ItemKind::Use(flag) => self.push(&format!("use {}", flag.text)),
            ItemKind::Import(path) => self.push(&format!("import {path}")),
            ItemKind::Partial(block) => self.block("partial", block, &item.span),
            ItemKind::Definition(block) => self.block("definition", block, &item.span),
            ItemKind::Caveat(caveat) => self.caveat(caveat),
        }
    }

    fn block(&mut self, keyword: &str, block: &Block, span: &Range<usize>) {
        self.push(&format!("{keyword} {} {{", block.name.text));
        self.at = block.name.span.end;
        let has_comments = self.comments_before(span.end).next().is_some();
        if block.members.is_empty() && !has_comments && self.held.is_empty() {
            self.push("}");
            return;
        }
        let end = span.end.saturating_sub(1);
        let first = block.members.first().map(|member| member.span.start);
        if let Some(first) = first {
            self.hold(first);
        }
        let header = self
            .comments_before(first.unwrap_or(end))
            .take_while(|comment| !comment.is_on_own_line)
            .count();
        // With members, those that were kept would document the first one here.
        let held = match first {
            Some(_) => std::mem::take(&mut self.held),
            None => Vec::new(),
        };
        self.end_line(header);
        self.held.extend(held);
        let outer = std::mem::replace(&mut self.is_first, true);
        for (place, member) in block.members.iter().enumerate() {
            self.hold(member.span.start);
            self.lead(member.span.start, "\t", false);
            self.push(&format!("\t{}", member_text(member)));
            let next = block.members.get(place + 1).map(|member| member.span.start);
            self.trail(member.span.end, next);
        }
        self.lead(end, "\t", false);
        self.is_first = outer;
        self.push("}");
    }

    fn caveat(&mut self, caveat: &CaveatSyntax) {
        let parameters: Vec<String> = caveat
            .parameters
            .iter()
            .map(|parameter| format!("{} {}", parameter.name.text, type_text(&parameter.ty)))
            .collect();
        self.push(&format!(
            "caveat {}({}) {{\n",
            caveat.name.text,
            parameters.join(", ")
        ));
        let source = self.text.get(caveat.expression.clone()).unwrap_or_default();
        // The lines of a string are its own.
        let has_long_string = source.contains("\"\"\"") || source.contains("'''");
        if has_long_string {
            self.push(&format!("\t{source}\n"));
        } else {
            for line in source.lines() {
                self.push(format!("\t{}", line.trim()).trim_end());
                self.push("\n");
            }
        }
        self.push("}");
    }

    /// Keeps the comments before a node that do not document it for the end of the node.
    fn hold(&mut self, start: usize) {
        while let Some(comment) = self.comments.get(self.next)
            && comment.span.start < start
            && comment.before != start
        {
            self.held.extend(self.text.get(comment.span.clone()));
            self.next += 1;
        }
    }

    /// Prints the comments up to `until`, each on a line; a blank line where the source has one, or where `parts` asks.
    fn lead(&mut self, until: usize, indent: &str, parts: bool) {
        let mut needs_blank = parts;
        let spans: Vec<Range<usize>> = self
            .comments_before(until)
            .map(|comment| comment.span.clone())
            .collect();
        for span in spans {
            if needs_blank || self.has_blank(span.start) {
                self.push("\n");
            }
            needs_blank = false;
            let comment = self.text.get(span.clone()).unwrap_or_default().to_owned();
            for line in comment.lines().map(str::trim) {
                let hang = if line.starts_with('*') { " " } else { "" };
                self.push(format!("{indent}{hang}{line}").trim_end());
                self.push("\n");
            }
            self.is_first = false;
            self.at = span.end;
        }
        self.skip_comments(until);
        if until < self.text.len()
            && (needs_blank || self.has_blank(until))
            && !self.ends_block(until)
        {
            self.push("\n");
        }
        self.at = until;
        self.is_first = false;
    }

    /// Ends a statement that goes up to `end` in the source, with the comments that are within it, that stand on its line
    /// or before its `;`, and that were kept: none of them documents anything, and here they still do not.
    fn trail(&mut self, end: usize, next: Option<usize>) {
        let line_end = self
            .text
            .get(end..)
            .and_then(|rest| rest.find('\n'))
            .map_or(self.text.len(), |at| end + at);
        let mut reached = end;
        let mut count = 0;
        for comment in self.comments.get(self.next..).unwrap_or_default() {
            let start = comment.span.start;
            let between = self.text.get(reached..start).unwrap_or_default();
            let is_next = between
                .trim_matches([' ', '\t', '\r', '\n', ';'])
                .is_empty();
            let is_on_line = !comment.is_on_own_line && start < line_end;
            let behind = self.text.get(comment.before..).unwrap_or_default();
            let is_before_end = behind.starts_with(['\n', ';']);
            let is_trailing = is_next && (is_on_line || is_before_end);
            if start >= end && (!is_trailing || Some(comment.before) == next) {
                break;
            }
            reached = reached.max(comment.span.end);
            count += 1;
        }
        self.end_line(count);
        self.at = reached;
    }

    /// Ends a line with the comments that were kept and the next `count`, those to the end of the line last.
    fn end_line(&mut self, count: usize) {
        let mut texts = std::mem::take(&mut self.held);
        let comments = self.comments.get(self.next..).unwrap_or_default();
        let spans = comments.iter().take(count);
        texts.extend(spans.filter_map(|comment| self.text.get(comment.span.clone())));
        self.next += count;
        let (to_line_end, within): (Vec<&str>, Vec<&str>) =
            texts.into_iter().partition(|text| text.starts_with("//"));
        for text in within.into_iter().chain(to_line_end) {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            self.out.push(' ');
            self.out.push_str(&lines.join("\n"));
        }
        self.push("\n");
    }

    /// Whether a blank line stands between what was printed and `until`; never at the start of a block.
    fn has_blank(&self, until: usize) -> bool {
        let between = self.text.get(self.at..until).unwrap_or_default();
        !self.is_first && between.matches('\n').count() > 1
    }

    fn ends_block(&self, at: usize) -> bool {
        self.text
            .get(at..)
            .is_some_and(|rest| rest.starts_with('}'))
    }

    fn comments_before(&self, until: usize) -> impl Iterator<Item = &Comment> {
        let comments = self.comments.get(self.next..).unwrap_or_default();
        comments
            .iter()
            .take_while(move |comment| comment.span.start < until)
    }

    fn skip_comments(&mut self, until: usize) {
        self.next += self.comments_before(until).count();
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }
}

fn member_text(member: &MemberSyntax) -> String {
    match &member.kind {
        MemberSyntaxKind::Relation { name, types } => {
            let types: Vec<String> = types.iter().map(allowed_text).collect();
            format!("relation {}: {}", name.text, types.join(" | "))
        }
        MemberSyntaxKind::Permission {
            name,
            annotation,
            expression,
        } => {
            let annotation: Vec<&str> = annotation.iter().map(|name| name.text.as_str()).collect();
            let annotation = if annotation.is_empty() {
                String::new()
            } else {
                format!(": {}", annotation.join(" | "))
            };
            format!(
                "permission {}{annotation} = {}",
                name.text,
                expression_text(expression)
            )
        }
        MemberSyntaxKind::Splat(name) => format!("...{}", name.text),
    }
}

fn allowed_text(ty: &TypeSyntax) -> String {
    let mut text = ty.definition.text.clone();
    match &ty.kind {
        TypeKind::Object => {}
        TypeKind::Wildcard => text.push_str(":*"),
        TypeKind::Set(member) => {
            text.push('#');
            text.push_str(&member.text);
        }
    }
    match (&ty.caveat, ty.expiration) {
        (None, false) => text,
        (None, true) => format!("{text} with expiration"),
        (Some(caveat), false) => format!("{text} with {}", caveat.text),
        (Some(caveat), true) => format!("{text} with {} and expiration", caveat.text),
    }
}

fn expression_text(expression: &ExpressionSyntax) -> String {
    match expression {
        ExpressionSyntax::Nil => "nil".to_owned(),
        ExpressionSyntax::SelfObject => "self".to_owned(),
        ExpressionSyntax::Member(name) => name.text.clone(),
        ExpressionSyntax::Arrow { left, way, right } => match way {
            ArrowWay::Plain => format!("{}->{}", left.text, right.text),
            ArrowWay::Any => format!("{}.any({})", left.text, right.text),
            ArrowWay::All => format!("{}.all({})", left.text, right.text),
        },
        ExpressionSyntax::Operation { operator, operands } => {
            let sign = match operator {
                Operator::Union => " + ",
                Operator::Intersection => " & ",
                Operator::Exclusion => " - ",
            };
            let operands: Vec<String> = operands
                .iter()
                .map(|operand| operand_text(*operator, operand))
                .collect();
            operands.join(sign)
        }
    }
}

/// An operand within an operation. Only what would bind otherwise without them, or reads badly, has parentheses.
fn operand_text(outer: Operator, operand: &ExpressionSyntax) -> String {
    let text = expression_text(operand);
    match operand {
        ExpressionSyntax::Operation {
            operator: Operator::Union,
            ..
        } if outer != Operator::Union => text,
        ExpressionSyntax::Operation { .. } => format!("({text})"),
        ExpressionSyntax::Nil
        | ExpressionSyntax::SelfObject
        | ExpressionSyntax::Member(_)
        | ExpressionSyntax::Arrow { .. } => text,
    }
}

fn type_text(ty: &ParameterTypeSyntax) -> String {
    if ty.generics.is_empty() {
        return ty.name.clone();
    }
    let generics: Vec<String> = ty.generics.iter().map(type_text).collect();
    format!("{}<{}>", ty.name, generics.join(", "))
}
