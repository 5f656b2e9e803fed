//! A tree into a [`Schema`]: names into indices, partials into their definitions, caveats into programs; then the rules
//! of types ([`types`]).

mod comment;
mod partials;
mod types;

use std::collections::HashSet;

use model::{CaveatName, DefinitionName, RelationName};

use crate::caveat::{CompileError, Parameter, ParameterType, Program};
use crate::compile::BuiltIn;
use crate::compiled::{
    AllowedSubject, Arrow, ByName, Caveat, CaveatIx, Definition, DefinitionIx, Expression, Member,
    MemberIx, MemberKind, Quantifier, Schema, SubjectKind,
};
use crate::diagnostic::{SchemaError, did_you_mean, line_and_column};
use crate::lexer::without_block_comments;
use crate::parser::{self, FAULTS_MAX};
use partials::Partials;

use crate::syntax::{
    ArrowWay, CaveatSyntax, ExpressionSyntax, File, Item, ItemKind, MemberSyntax, MemberSyntaxKind,
    Name, Operator, ParameterTypeSyntax, Span, TypeKind, TypeSyntax,
};

/// The longest name of a relation or permission, in bytes.
const RELATION_BYTES_MAX: usize = 64;
const DEFINITION_PATTERN: &str = "^([a-z][a-z0-9_]{1,62}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$";
const SUBJECT_PATTERN: &str = "^([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$";
const SUBJECT_RELATION_PATTERN: &str = r"^(\.\.\.|[a-z][a-z0-9_]{1,62}[a-z0-9])$";

/// Reads, resolves and checks `text`, on what is built in.
pub(crate) fn compile(text: &str, built_in: Option<&BuiltIn>) -> Result<Schema, Vec<SchemaError>> {
    let file = parser::parse(text)?;
    let schema = built_in.map_or_else(Schema::default, BuiltIn::schema);
    let nowhere = || Written {
        name: 0..0,
        annotation: Vec::new(),
    };
    let mut resolver = Resolver {
        text,
        file: &file,
        kept_prefix: built_in.map(BuiltIn::prefix),
        members: schema.members.iter().map(|_| nowhere()).collect(),
        schema,
        faults: Vec::new(),
    };
    resolver.names()?;
    resolver.caveats()?;
    resolver.members()?;
    let is_typechecked = file.uses("typechecking");
    types::check(&resolver.schema, &resolver.members, is_typechecked)?;
    Ok(resolver.schema)
}

/// Adds a fault, if there is one, to those that are told together.
fn note(faults: &mut Vec<SchemaError>, outcome: Result<(), SchemaError>) {
    if let Err(fault) = outcome
        && faults.len() < FAULTS_MAX
    {
        faults.push(fault);
    }
}

/// Where a member was written, and what only matters while it is checked.
struct Written {
    name: Span,
    annotation: Vec<String>,
}

struct Resolver<'a> {
    text: &'a str,
    file: &'a File,
    /// No name of the text may begin with it.
    kept_prefix: Option<&'static str>,
    schema: Schema,
    /// One for each member of the schema.
    members: Vec<Written>,
    faults: Vec<SchemaError>,
}

impl<'a> Resolver<'a> {
    /// Ends a phase: what follows a fault would only follow from it.
    fn ended(&mut self) -> Result<(), Vec<SchemaError>> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(std::mem::take(&mut self.faults))
        }
    }

    /// Definitions and caveats get their names and places; members come later, since they refer to all of them.
    fn names(&mut self) -> Result<(), Vec<SchemaError>> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut partials: HashSet<&str> = HashSet::new();
        let file = self.file;
        for item in &file.items {
            if let ItemKind::Partial(block) = &item.kind {
                partials.insert(&block.name.text);
            }
        }
        for item in &file.items {
            let outcome = self.item(item, &mut seen, &partials);
            note(&mut self.faults, outcome);
        }
        self.ended()
    }

    fn item(
        &mut self,
        item: &'a Item,
        seen: &mut HashSet<&'a str>,
        partials: &HashSet<&'a str>,
    ) -> Result<(), SchemaError> {
        let (name, kind) = match &item.kind {
            ItemKind::Use(_) => return Ok(()),
            ItemKind::Import(_) => {
                let message = "import statements are not allowed in this context";
                return Err(self.item_error(item, "", message));
            }
            ItemKind::Partial(block) => (&block.name, "partial"),
            ItemKind::Definition(block) => (&block.name, "definition"),
            ItemKind::Caveat(caveat) => (&caveat.name, "caveat"),
        };
        if let Some(prefix) = self
            .kept_prefix
            .filter(|prefix| name.text.starts_with(prefix))
        {
            let message = format!(
                "found {kind} `{}`: names that begin with `{prefix}` are kept for what is built in",
                name.text
            );
            let error = self.item_error(item, &name.text, &message);
            return Err(error.marked(Some(name.span.clone())));
        }
        let again = !seen.insert(&name.text);
        if kind != "partial" && partials.contains(name.text.as_str()) {
            let message = format!(
                "found {kind} with same name as existing partial: {}",
                name.text
            );
            let error = self.item_error(item, &name.text, &message);
            return Err(error.marked(Some(name.span.clone())));
        }
        if again {
            let message = format!(
                "found name reused between multiple definitions and/or caveats: {}",
                name.text
            );
            let error = self.item_error(item, &name.text, &message);
            return Err(error.marked(Some(name.span.clone())));
        }
        self.name(item, name)
    }

    fn name(&mut self, item: &Item, name: &Name) -> Result<(), SchemaError> {
        match &item.kind {
            ItemKind::Definition(_) => {
                let parsed = DefinitionName::new(&name.text).map_err(|_| {
                    let message = format!(
                        "error in object definition {}: validation error: name: does not match regex pattern \
                         `{DEFINITION_PATTERN}`",
                        name.text
                    );
                    self.item_error(item, "", &message)
                })?;
                let ix = DefinitionIx(self.schema.definitions.len() as u32);
                self.schema.definition_by_name.insert(parsed.clone(), ix);
                self.schema.definitions.push(Definition {
                    name: parsed,
                    comment: String::new(),
                    is_built_in: false,
                    members: Vec::new(),
                    member_by_name: ByName::default(),
                });
            }
            ItemKind::Use(_) | ItemKind::Import(_) | ItemKind::Partial(_) | ItemKind::Caveat(_) => {
            }
        }
        Ok(())
    }

    fn caveats(&mut self) -> Result<(), Vec<SchemaError>> {
        let file = self.file;
        for item in &file.items {
            if let ItemKind::Caveat(syntax) = &item.kind {
                let outcome = self.declare_caveat(item, syntax);
                note(&mut self.faults, outcome);
            }
        }
        self.ended()
    }

    fn declare_caveat(&mut self, item: &Item, syntax: &CaveatSyntax) -> Result<(), SchemaError> {
        let name = CaveatName::new(&syntax.name.text).map_err(|_| {
            let message = format!(
                "error in caveat {}: validation error: name: does not match regex pattern `{}`",
                syntax.name.text,
                CaveatName::PATTERN
            );
            self.item_error(item, "", &message)
        })?;
        let program = self.program(syntax)?;
        let ix = CaveatIx(self.schema.caveats.len() as u32);
        self.schema.caveat_by_name.insert(name.clone(), ix);
        let comment = self.comment(&item.span);
        self.schema.caveats.push(Caveat {
            name,
            comment,
            program,
        });
        Ok(())
    }

    fn program(&self, syntax: &CaveatSyntax) -> Result<Program, SchemaError> {
        let caveat = &syntax.name.text;
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut names: HashSet<&str> = HashSet::new();
        for parameter in &syntax.parameters {
            let name = &parameter.name.text;
            let fault = |message: String| {
                SchemaError::parse(self.text, parameter.span.clone(), message).located(
                    self.text,
                    parameter.span.end - 1,
                    name,
                )
            };
            if !names.insert(name) {
                return Err(fault(format!(
                    "duplicate parameter `{name}` defined on caveat `{caveat}`"
                )));
            }
            let ty = parameter_type(&parameter.ty).map_err(|error| {
                fault(format!(
                    "invalid type for caveat parameter `{name}` on caveat `{caveat}`: {error}"
                ))
            })?;
            parameters.push(Parameter {
                name: name.clone(),
                ty,
            });
        }
        let span = syntax.expression.clone();
        let source = self.text.get(span.clone()).unwrap_or_default();
        Program::compile(caveat, &without_block_comments(source), parameters)
            .map_err(|error| self.caveat_error(caveat, &span, error))
    }

    fn caveat_error(&self, caveat: &str, span: &Span, error: CompileError) -> SchemaError {
        let (line, column) = line_and_column(self.text, span.start);
        if let CompileError::UnusedParameter(parameter) = &error {
            let message = format!("parameter `{parameter}` for caveat `{caveat}` is unused");
            return SchemaError::typed(span.clone(), message)
                .with("caveat_name", caveat)
                .with("parameter_name", parameter);
        }
        let message = format!(
            "invalid expression for caveat `{caveat}`: {}",
            error.clone().within(line + 1, column + 1)
        );
        // The wire's end is that of the last token, and a newline that ends a statement is a token.
        let rest = self.text.get(span.end..).unwrap_or_default();
        let last = self
            .text
            .get(span.clone())
            .and_then(|source| source.chars().last());
        let ends_statement =
            last.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | '}' | '*'));
        let end = if ends_statement && rest.starts_with('\n') {
            span.end + 1
        } else {
            span.end
        };
        let source = self.text.get(span.start..end).unwrap_or_default();
        let mark = error.offset().map(|offset| {
            let start = (span.start + offset).min(self.text.len());
            let rest = self.text.get(start..).unwrap_or_default();
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            start..start + rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        });
        SchemaError::parse(self.text, span.clone(), message)
            .located(self.text, end - 1, source)
            .marked(mark)
    }

    fn members(&mut self) -> Result<(), Vec<SchemaError>> {
        let expanded = self.expanded().map_err(|fault| vec![fault])?;
        for (definition, member) in &expanded {
            let outcome = self.declare(*definition, member);
            note(&mut self.faults, outcome);
        }
        self.ended()?;
        // Every member has its index now, so what refers to them can be resolved.
        for (definition, member) in &expanded {
            let outcome = self.define(*definition, member);
            note(&mut self.faults, outcome);
        }
        self.ended()
    }

    /// The members of every definition, with those of partials at their place.
    fn expanded(&mut self) -> Result<Vec<(DefinitionIx, &'a MemberSyntax)>, SchemaError> {
        let file = self.file;
        let partials = Partials::find(file)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for item in &file.items {
            let ItemKind::Definition(block) = &item.kind else {
                continue;
            };
            let Some(ix) = self.schema.definition_ix(&block.name.text) else {
                continue;
            };
            let comment = self.comment(&item.span);
            if let Some(definition) = self.schema.definitions.get_mut(ix.0 as usize) {
                definition.comment = comment;
            }
            partials.expand(self.text, file, (ix, block), &mut found, &mut bytes)?;
        }
        Ok(found)
    }

    fn declare(
        &mut self,
        definition: DefinitionIx,
        member: &MemberSyntax,
    ) -> Result<(), SchemaError> {
        let (kind, name, annotation) = match &member.kind {
            MemberSyntaxKind::Relation { name, .. } => ("relation", name, &[][..]),
            MemberSyntaxKind::Permission {
                name, annotation, ..
            } => ("permission", name, annotation.as_slice()),
            MemberSyntaxKind::Splat(_) => return Ok(()),
        };
        let parsed = RelationName::new(&name.text).map_err(|_| {
            let (name, pattern) = (&name.text, RelationName::PATTERN);
            let message = if name.len() > RELATION_BYTES_MAX {
                format!(
                    "error in {kind} {name}: validation errors:\n - name: must be at most {RELATION_BYTES_MAX} \
                     bytes\n - name: does not match regex pattern `{pattern}`"
                )
            } else {
                format!(
                    "error in {kind} {name}: validation error: name: does not match regex pattern `{pattern}`"
                )
            };
            SchemaError::parse(self.text, member.span.clone(), message).located(
                self.text,
                member.span.end - 1,
                "",
            )
        })?;
        let ix = MemberIx(self.schema.members.len() as u32);
        let comment = self.comment(&member.span);
        let Some(owner) = self.schema.definitions.get_mut(definition.0 as usize) else {
            return Ok(());
        };
        if owner.member_by_name.insert(parsed.clone(), ix).is_some() {
            let message = format!(
                "found duplicate relation/permission name `{parsed}` under definition `{}`",
                owner.name
            );
            return Err(SchemaError::typed(name.span.clone(), message)
                .with("definition_name", &owner.name)
                .with("relation_or_permission_name", &parsed));
        }
        owner.members.push(ix);
        // A stand-in until the member is defined.
        let kind = MemberKind::Permission(Expression::Nil);
        self.schema.members.push(Member {
            definition,
            name: parsed,
            comment,
            kind,
        });
        let annotation = annotation.iter().map(|name| name.text.clone()).collect();
        self.members.push(Written {
            name: name.span.clone(),
            annotation,
        });
        Ok(())
    }

    fn define(
        &mut self,
        definition: DefinitionIx,
        member: &MemberSyntax,
    ) -> Result<(), SchemaError> {
        let (name, kind) = match &member.kind {
            MemberSyntaxKind::Relation { name, types } => {
                let allowed: Result<_, _> = types.iter().map(|ty| self.allowed(name, ty)).collect();
                (name, MemberKind::Relation(allowed?))
            }
            MemberSyntaxKind::Permission {
                name, expression, ..
            } => (
                name,
                MemberKind::Permission(self.expression(definition, expression)?),
            ),
            MemberSyntaxKind::Splat(_) => return Ok(()),
        };
        let ix = self.schema.member_ix(definition, &name.text);
        if let Some(declared) = ix.and_then(|ix| self.schema.members.get_mut(ix.0 as usize)) {
            declared.kind = kind;
        }
        Ok(())
    }

    fn allowed(&self, relation: &Name, ty: &TypeSyntax) -> Result<AllowedSubject, SchemaError> {
        let wanted = &ty.definition.text;
        if DefinitionName::new(wanted).is_err() {
            return Err(self.type_error(ty, "namespace", SUBJECT_PATTERN));
        }
        if let TypeKind::Set(member) = &ty.kind
            && RelationName::new(&member.text).is_err()
        {
            return Err(self.type_error(ty, "relation", SUBJECT_RELATION_PATTERN));
        }
        let Some(definition) = self.schema.definition_ix(wanted) else {
            let message = format!(
                "could not lookup definition `{wanted}` for relation `{}`: object definition `{wanted}` not found",
                relation.text
            );
            let known = self
                .schema
                .definitions
                .iter()
                .map(|definition| definition.name.as_str());
            return Err(SchemaError::typed(ty.definition.span.clone(), message)
                .with("definition_name", wanted)
                .hinted(did_you_mean(wanted, known)));
        };
        let kind = match &ty.kind {
            TypeKind::Object => SubjectKind::Object,
            TypeKind::Wildcard => SubjectKind::Wildcard,
            TypeKind::Set(member) => SubjectKind::Set(self.member(definition, member)?),
        };
        let caveat = ty
            .caveat
            .as_ref()
            .map(|name| self.caveat(relation, name))
            .transpose()?;
        Ok(AllowedSubject {
            definition,
            kind,
            caveat,
            expiration: ty.expiration,
        })
    }

    /// A kind of subject with a name that nothing can have.
    fn type_error(&self, ty: &TypeSyntax, field: &str, pattern: &str) -> SchemaError {
        let message = format!(
            "invalid type relation: validation error: {field}: does not match regex pattern `{pattern}`"
        );
        let span = ty.span.clone();
        SchemaError::parse(self.text, span.clone(), message).located(self.text, span.end - 1, "")
    }

    fn caveat(&self, relation: &Name, name: &Name) -> Result<CaveatIx, SchemaError> {
        self.schema.caveat_ix(&name.text).ok_or_else(|| {
            let message = format!(
                "could not lookup caveat `{0}` for relation `{1}`: caveat with name `{0}` not found",
                name.text, relation.text
            );
            let hint = if name.text == "expiration" && !self.file.uses("expiration") {
                Some("`use expiration` is missing at the top of the schema".to_owned())
            } else {
                did_you_mean(&name.text, self.schema.caveats.iter().map(|caveat| caveat.name.as_str()))
            };
            SchemaError::typed(name.span.clone(), message).with("caveat_name", &name.text).hinted(hint)
        })
    }

    fn expression(
        &self,
        definition: DefinitionIx,
        syntax: &ExpressionSyntax,
    ) -> Result<Expression, SchemaError> {
        Ok(match syntax {
            ExpressionSyntax::Nil => Expression::Nil,
            ExpressionSyntax::SelfObject => Expression::SelfObject,
            ExpressionSyntax::Member(name) => Expression::Member(self.member(definition, name)?),
            ExpressionSyntax::Arrow { left, way, right } => {
                let relation = self.member(definition, left)?;
                Expression::Arrow(Arrow {
                    quantifier: match way {
                        ArrowWay::Plain | ArrowWay::Any => Quantifier::Any,
                        ArrowWay::All => Quantifier::All,
                    },
                    relation,
                    target: self.target(right)?,
                    is_function: *way != ArrowWay::Plain,
                })
            }
            ExpressionSyntax::Operation { operator, operands } => {
                let operands: Result<Vec<Expression>, SchemaError> = operands
                    .iter()
                    .map(|operand| self.expression(definition, operand))
                    .collect();
                combine(*operator, operands?)
            }
        })
    }

    /// The name on the right of an arrow. One that no definition can have is nobody's.
    fn target(&self, name: &Name) -> Result<RelationName, SchemaError> {
        RelationName::new(&name.text)
            .map_err(|error| SchemaError::parse(self.text, name.span.clone(), error.to_string()))
    }

    fn member(&self, definition: DefinitionIx, name: &Name) -> Result<MemberIx, SchemaError> {
        self.schema
            .member_ix(definition, &name.text)
            .ok_or_else(|| {
                let owner = self.schema.definition(definition);
                let message = format!(
                    "relation/permission `{}` not found under definition `{}`",
                    name.text, owner.name
                );
                let hint = if name.text == "self" {
                    Some("`use self` is missing at the top of the schema".to_owned())
                } else {
                    let known = owner.member_by_name.keys().map(RelationName::as_str);
                    did_you_mean(&name.text, known)
                };
                SchemaError::typed(name.span.clone(), message)
                    .with("definition_name", &owner.name)
                    .with("relation_or_permission_name", &name.text)
                    .hinted(hint)
            })
    }

    /// What documents a node: the comments right before it, in the form of the wire.
    fn comment(&self, span: &Span) -> String {
        let comments = self.file.comments_of(span.start).iter();
        let texts = comments.filter_map(|comment| self.text.get(comment.span.clone()));
        texts.map(comment::canonical).collect::<Vec<_>>().join("\n")
    }

    fn item_error(&self, item: &Item, source: &str, message: &str) -> SchemaError {
        SchemaError::parse(self.text, item.span.clone(), message).located(
            self.text,
            item.span.end - 1,
            source,
        )
    }
}

/// Joins operands; unions and intersections of the same take each other in.
fn combine(operator: Operator, operands: Vec<Expression>) -> Expression {
    match operator {
        Operator::Union => {
            let mut flat = Vec::with_capacity(operands.len());
            for operand in operands {
                if let Expression::Union(inner) = operand {
                    flat.extend(inner);
                } else {
                    flat.push(operand);
                }
            }
            Expression::Union(flat)
        }
        Operator::Intersection => {
            let mut flat = Vec::with_capacity(operands.len());
            for operand in operands {
                if let Expression::Intersection(inner) = operand {
                    flat.extend(inner);
                } else {
                    flat.push(operand);
                }
            }
            Expression::Intersection(flat)
        }
        Operator::Exclusion => operands
            .into_iter()
            .reduce(|left, right| Expression::Exclusion(Box::new(left), Box::new(right)))
            .unwrap_or(Expression::Nil),
    }
}

fn parameter_type(syntax: &ParameterTypeSyntax) -> Result<ParameterType, crate::caveat::TypeError> {
    let generics: Result<Vec<ParameterType>, _> =
        syntax.generics.iter().map(parameter_type).collect();
    ParameterType::parse_parts(&syntax.name, generics?)
}
