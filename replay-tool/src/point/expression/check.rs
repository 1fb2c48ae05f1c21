//! What the names in a parsed expression mean, and whether what is compared can be.

use super::field::{self, Field, LABELS, NAMED, Type};
use super::parse::{Kind, Node};
use super::token::{wrong, wrong_but};
use super::{Comparison, Expression, ExpressionError, Operand, Subject, Test};
use crate::when::When;

/// What can be called, with how it is called.
const FUNCTIONS: [(&str, &str); 5] = [
    ("count", "count(PREDICATE), or count() for all runs"),
    ("any", "any(PREDICATE)"),
    ("all", "all(PREDICATE)"),
    ("exists", "exists(FIELD)"),
    ("run", "run(\"NAME or id\").FIELD"),
];

/// Checks a parsed expression.
pub(super) fn check(text: &str, node: &Node) -> Result<Expression, ExpressionError> {
    let mut check = Check { text, each: Vec::new(), runs: Vec::new() };
    let root = check.test(node, Place::Fleet)?;
    Ok(Expression { text: text.trim().to_owned(), root, each: check.each, runs: check.runs })
}

struct Check<'a> {
    text: &'a str,
    each: Vec<Test>,
    runs: Vec<String>,
}

/// Whose fields stand by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nobody's: many runs are looked at.
    Fleet,
    /// Within an aggregate: those of each run.
    Run,
}

type Checked<T> = Result<T, ExpressionError>;

impl Check<'_> {
    fn wrong(&self, node: &Node, what: impl Into<String>) -> ExpressionError {
        wrong(self.text, node.column, what)
    }

    fn wrong_but(&self, node: &Node, what: impl Into<String>, instead: impl Into<String>) -> ExpressionError {
        wrong_but(self.text, node.column, what, instead.into())
    }

    fn test(&mut self, node: &Node, place: Place) -> Checked<Test> {
        match &node.kind {
            Kind::Flag(value) => Ok(Test::Constant(*value)),
            Kind::Not(inner) => Ok(Test::Not(Box::new(self.test(inner, place)?))),
            Kind::And(parts) => Ok(Test::And(self.tests(parts, place)?)),
            Kind::Or(parts) => Ok(Test::Or(self.tests(parts, place)?)),
            Kind::Compare(left, comparison, right) => self.comparison(left, *comparison, right, place),
            Kind::Call(name, arguments, path) if path.is_empty() && matches!(name.as_str(), "any" | "all") => {
                let aggregate = self.aggregate(node, name, arguments, place)?;
                Ok(if name == "any" { Test::Any(aggregate) } else { Test::All(aggregate) })
            }
            Kind::Call(name, arguments, path) if path.is_empty() && name == "exists" => {
                let [argument] = arguments.as_slice() else {
                    return Err(self.wrong(node, "exists(FIELD) takes one field"));
                };
                let (subject, field) = self.field(argument, place)?;
                Ok(Test::Exists(subject, field))
            }
            Kind::Path(_) | Kind::Call(..) => self.flag(node, place),
            Kind::Number(_) | Kind::Text(_) => {
                Err(self.wrong_but(node, "a value alone is neither true nor false", "compare it with a field"))
            }
        }
    }

    fn tests(&mut self, parts: &[Node], place: Place) -> Checked<Vec<Test>> {
        parts.iter().map(|part| self.test(part, place)).collect()
    }

    /// A field or function that is to be true or false by itself.
    fn flag(&mut self, node: &Node, place: Place) -> Checked<Test> {
        match self.operand(node, place)? {
            (Operand::Field(subject, field), Type::Flag) => Ok(Test::Is(subject, field)),
            (operand, of) => {
                let what = format!("{} is {}, and is neither true nor false by itself", named(&operand), of.name());
                Err(self.wrong_but(node, what, "compare it with a value, or ask `exists(FIELD)`"))
            }
        }
    }

    fn comparison(&mut self, left: &Node, comparison: Comparison, right: &Node, place: Place) -> Checked<Test> {
        let (mut one, mut one_of) = self.operand(left, place)?;
        let (mut other, mut other_of) = self.operand(right, place)?;
        self.read_time(left, &mut one, &mut one_of, other_of)?;
        self.read_time(right, &mut other, &mut other_of, one_of)?;
        if one_of != other_of {
            let what = format!(
                "{} is {} and cannot be compared with {}, which is {}",
                named(&one),
                one_of.name(),
                named(&other),
                other_of.name()
            );
            return Err(self.wrong(right, what));
        }
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        if matches!(one_of, Type::Text | Type::Flag) && !is_equality {
            let what = format!("{} is {}, which has no order", named(&one), one_of.name());
            return Err(self.wrong_but(left, what, "compare by `=` or `!=`"));
        }
        self.check_status(right, &one, &other)?;
        self.check_status(left, &other, &one)?;
        Ok(Test::Compare(one, comparison, other))
    }

    /// A text that is compared with a time is one.
    fn read_time(&self, node: &Node, operand: &mut Operand, of: &mut Type, other: Type) -> Checked<()> {
        let Operand::Text(text) = operand else { return Ok(()) };
        if other != Type::Time {
            return Ok(());
        }
        match text.parse::<When>() {
            Ok(When::At(time)) => (*operand, *of) = (Operand::Time(time), Type::Time),
            Ok(When::Ago(_)) | Err(_) => {
                let what = format!("{text:?} is no absolute time");
                return Err(self.wrong_but(node, what, "write it as RFC 3339: \"2026-11-21T03:12:00Z\""));
            }
        }
        Ok(())
    }

    fn check_status(&self, node: &Node, field: &Operand, value: &Operand) -> Checked<()> {
        match (field, value) {
            (Operand::Field(_, field), Operand::Text(value)) if field.is_status() => {
                let what = || format!("there is no status {value:?}");
                field::status(value).map_err(|instead| self.wrong_but(node, what(), instead))
            }
            _ => Ok(()),
        }
    }

    fn operand(&mut self, node: &Node, place: Place) -> Checked<(Operand, Type)> {
        match &node.kind {
            Kind::Number(number) => Ok((Operand::Number(*number), Type::Number)),
            Kind::Text(text) => Ok((Operand::Text(text.clone()), Type::Text)),
            Kind::Flag(flag) => Ok((Operand::Flag(*flag), Type::Flag)),
            Kind::Call(name, arguments, path) if path.is_empty() && name == "count" => {
                Ok((Operand::Count(self.aggregate(node, name, arguments, place)?), Type::Number))
            }
            Kind::Path(_) | Kind::Call(..) => {
                let (subject, field) = self.field(node, place)?;
                let of = field.of_type();
                Ok((Operand::Field(subject, field), of))
            }
            Kind::Not(_) | Kind::And(..) | Kind::Or(..) | Kind::Compare(..) => {
                Err(self.wrong_but(node, "a predicate cannot be compared", "join predicates by `and` and `or`"))
            }
        }
    }

    fn field(&mut self, node: &Node, place: Place) -> Checked<(Subject, Field)> {
        match &node.kind {
            Kind::Path(path) => {
                let field = self.find(node, path)?;
                if place == Place::Run {
                    return Ok((Subject::Each, field));
                }
                let (what, name) = (format!("{} is a field of a run, and there are many", field.name()), field.name());
                let instead = format!("ask for one, run(\"NAME\").{name}, or for how many: count({name} = …)");
                Err(self.wrong_but(node, what, instead))
            }
            Kind::Call(name, arguments, path) if name == "run" => self.run_field(node, arguments, path, place),
            Kind::Call(name, ..) => Err(self.no_such_function(node, name)),
            Kind::Number(_)
            | Kind::Text(_)
            | Kind::Flag(_)
            | Kind::Not(_)
            | Kind::And(..)
            | Kind::Or(..)
            | Kind::Compare(..) => Err(self.wrong(node, "here stands the name of a field")),
        }
    }

    fn run_field(
        &mut self,
        node: &Node,
        arguments: &[Node],
        path: &[String],
        place: Place,
    ) -> Checked<(Subject, Field)> {
        if place == Place::Run {
            let what = "within `count`, `any` and `all` only the fields of the run that is looked at can be asked";
            return Err(self.wrong(node, what));
        }
        let [Node { kind: Kind::Text(run), .. }] = arguments else {
            let what = "run(…) takes one name or id between quotes";
            return Err(self.wrong_but(node, what, "run(\"build\").status"));
        };
        if path.is_empty() {
            let instead = format!("run({run:?}).status, or exists(run({run:?}).run) for whether it was created");
            return Err(self.wrong_but(node, "a field of the run is missing", instead));
        }
        let field = self.find(node, path)?;
        let number = self.runs.iter().position(|known| known == run).unwrap_or_else(|| {
            self.runs.push(run.clone());
            self.runs.len() - 1
        });
        Ok((Subject::Run(number), field))
    }

    fn find(&self, node: &Node, path: &[String]) -> Checked<Field> {
        Field::find(path).map_err(|similar| {
            let what = format!("a run has no field `{}`", path.join("."));
            let all: Vec<&str> = NAMED.iter().map(|field| field.name).collect();
            let instead = match similar {
                _ if path.len() == 1 && field::status(&path[0]).is_ok() => format!("write it as a text: {:?}", path[0]),
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("its fields are {} and {LABELS}.KEY", all.join(", ")),
            };
            self.wrong_but(node, what, instead)
        })
    }

    fn aggregate(&mut self, node: &Node, name: &str, arguments: &[Node], place: Place) -> Checked<usize> {
        if place == Place::Run {
            return Err(self.wrong(node, format!("{name}(…) cannot stand within `count`, `any` or `all`")));
        }
        let test = match arguments {
            [] if name == "count" => Test::Constant(true),
            [argument] => self.test(argument, Place::Run)?,
            _ => return Err(self.wrong(node, format!("{name}(…) takes one predicate about a run"))),
        };
        self.each.push(test);
        Ok(self.each.len() - 1)
    }

    fn no_such_function(&self, node: &Node, name: &str) -> ExpressionError {
        if let Some((_, call)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
            return self.wrong_but(node, format!("`{name}` cannot be used like this"), format!("write {call}"));
        }
        let instead = match field::similar(name, FUNCTIONS.iter().map(|(known, _)| *known)) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("there are {}", FUNCTIONS.map(|(_, call)| call).join(", ")),
        };
        self.wrong_but(node, format!("there is no function `{name}`"), instead)
    }
}

fn named(operand: &Operand) -> String {
    match operand {
        Operand::Number(number) => number.to_string(),
        Operand::Text(text) => format!("{text:?}"),
        Operand::Time(time) => time.to_string(),
        Operand::Flag(flag) => flag.to_string(),
        Operand::Field(_, field) => format!("`{}`", field.name()),
        Operand::Count(_) => "`count`".to_owned(),
    }
}
