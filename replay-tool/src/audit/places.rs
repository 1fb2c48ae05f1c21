//! Where a question names the tables, and which conditions hold there.

use sqlite3_parser::ast::{
    As, CommonTableExpr, Expr, FrameBound, FromClause, FunctionCallOrder, FunctionTail, JoinConstraint, JoinOperator,
    JoinType, OneSelect, Over, ResultColumn, Select, SelectTable, SortedColumn, Window,
};

use super::column::TableInfo;
use super::narrowing::{Comparison, Narrowing, Term};
use super::parameter::Parameter;
use super::predicate::{ColumnName, Condition, conditions, plain};

const RUN: &str = "run";

/// One place where a table is named.
struct Place {
    table: usize,
    terms: Vec<Term>,
}

/// What a `FROM` has: one of our tables, or anything else.
struct Source {
    alias: String,
    place: Option<usize>,
}

/// The sources of one `SELECT`, and those of the one around it.
struct Scope<'s> {
    sources: Vec<Source>,
    /// Columns that `USING` made one.
    merged: Vec<String>,
    around: Option<&'s Self>,
}

/// How the conditions of a join hold.
#[derive(Clone, Copy)]
enum Holds {
    /// For every row of the join.
    Always,
    /// For the rows of this source that are joined to anything.
    For(usize),
}

/// Every place of a question.
pub(super) struct Places<'k> {
    known: &'k [TableInfo],
    parameters: &'k [&'k Parameter],
    places: Vec<Place>,
    /// Where rows of the second place matter only with the run of a row of the first one that matters.
    same_run: Vec<(usize, usize)>,
    /// Whether another thing goes by the name of a table.
    is_hidden: bool,
}

impl<'k> Places<'k> {
    /// No place yet.
    pub(super) fn of(known: &'k [TableInfo], parameters: &'k [&'k Parameter]) -> Self {
        Self { known, parameters, places: Vec::new(), same_run: Vec::new(), is_hidden: false }
    }

    /// What all of them leave of the tables.
    pub(super) fn narrowing(mut self) -> Narrowing {
        let mut narrowing = Narrowing::default();
        if self.is_hidden {
            return narrowing;
        }
        // Each round hands the runs of at least one place on, or is the last.
        while self.hand_on() {}
        for place in self.places {
            narrowing.named(self.known[place.table].name, place.terms);
        }
        narrowing
    }

    fn hand_on(&mut self) -> bool {
        let runs_of = |place: &Place| {
            place.terms.iter().find(|term| term.column == RUN && term.comparison == Comparison::AnyOf).cloned()
        };
        let mut is_changed = false;
        for (from, to) in &self.same_run {
            let (Some(runs), None) = (runs_of(&self.places[*from]), runs_of(&self.places[*to])) else { continue };
            self.places[*to].terms.push(runs);
            is_changed = true;
        }
        is_changed
    }

    /// Goes through a statement, or one within another.
    pub(super) fn see(&mut self, select: &Select<'_>) {
        self.select(select, None);
    }

    fn select(&mut self, select: &Select<'_>, around: Option<&Scope<'_>>) {
        for CommonTableExpr { tbl_name, select, .. } in select.with.iter().flat_map(|with| with.ctes) {
            self.is_hidden |= self.table(&plain(tbl_name.0)).is_some();
            self.select(select, None);
        }
        let order = select.order_by.unwrap_or_default();
        self.one(&select.body.select, order, around);
        for compound in select.body.compounds.iter().flatten() {
            self.one(&compound.select, &[], around);
        }
        if let Some(limit) = select.limit {
            let nowhere = Scope { sources: Vec::new(), merged: Vec::new(), around };
            self.expression(&limit.expr, &nowhere);
            limit.offset.iter().for_each(|offset| self.expression(offset, &nowhere));
        }
    }

    fn one(&mut self, one: &OneSelect<'_>, order: &[SortedColumn<'_>], around: Option<&Scope<'_>>) {
        let mut scope = Scope { sources: Vec::new(), merged: Vec::new(), around };
        match one {
            OneSelect::Values(rows) => rows.iter().flatten().for_each(|value| self.expression(value, &scope)),
            OneSelect::Select { columns, from, where_clause, group_by, having, window_clause, distinctness: _ } => {
                if let Some(from) = from {
                    self.sources(from, &mut scope);
                    self.joins(from, &scope);
                    if is_plain(from) {
                        self.conditions_of(from, &mut scope);
                        where_clause.iter().for_each(|condition| self.holds(condition, &scope, Holds::Always));
                    }
                }
                for column in *columns {
                    match column {
                        ResultColumn::Expr(expression, _) => self.expression(expression, &scope),
                        ResultColumn::Star | ResultColumn::TableStar(_) => {}
                    }
                }
                where_clause.iter().chain(having).for_each(|expression| self.expression(expression, &scope));
                group_by.unwrap_or_default().iter().for_each(|expression| self.expression(expression, &scope));
                window_clause.unwrap_or_default().iter().for_each(|named| self.window(&named.window, &scope));
            }
        }
        self.order(order, &scope);
    }

    /// The index of a table of ours.
    fn table(&self, name: &str) -> Option<usize> {
        self.known.iter().position(|table| table.name == name)
    }

    /// Adds what a `FROM` has.
    fn sources(&mut self, from: &FromClause<'_>, scope: &mut Scope<'_>) {
        let joined = from.joins.iter().flatten().map(|join| &join.table);
        for source in from.select.iter().copied().chain(joined) {
            let (alias, name) = match source {
                SelectTable::Table(name, alias, _) => (alias, Some(plain(name.name.0))),
                SelectTable::TableCall(name, _, alias) => (alias, Some(plain(name.name.0))),
                SelectTable::Select(select, alias) => {
                    self.select(select, None);
                    (alias, None)
                }
                SelectTable::Sub(from, alias) => {
                    // With an alias of its own, nothing within it can be named from outside.
                    match alias {
                        None => self.sources(from, scope),
                        Some(_) => {
                            self.sources(from, &mut Scope { sources: Vec::new(), merged: Vec::new(), around: None })
                        }
                    }
                    if alias.is_none() {
                        continue;
                    }
                    (alias, None)
                }
            };
            let table = name.as_deref().and_then(|name| self.table(name));
            let place = table.map(|table| {
                self.places.push(Place { table, terms: Vec::new() });
                self.places.len() - 1
            });
            let alias = match alias {
                Some(As::As(alias) | As::Elided(alias)) => plain(alias.0),
                None => name.unwrap_or_default(),
            };
            scope.sources.push(Source { alias, place });
        }
    }

    /// Goes through the expressions of a `FROM`.
    fn joins(&mut self, from: &FromClause<'_>, scope: &Scope<'_>) {
        let joined = from.joins.iter().flatten().map(|join| &join.table);
        for source in from.select.iter().copied().chain(joined) {
            match source {
                SelectTable::TableCall(_, arguments, _) => {
                    arguments.unwrap_or_default().iter().for_each(|argument| self.expression(argument, scope));
                }
                SelectTable::Sub(from, _) => self.joins(from, scope),
                SelectTable::Table(..) | SelectTable::Select(..) => {}
            }
        }
        for join in from.joins.iter().flatten() {
            if let Some(JoinConstraint::On(condition)) = &join.constraint {
                self.expression(condition, scope);
            }
        }
    }

    /// Takes what holds of the rows that a plain `FROM` joins.
    fn conditions_of(&mut self, from: &FromClause<'_>, scope: &mut Scope<'_>) {
        for (index, join) in from.joins.iter().flatten().enumerate() {
            // Of a plain one without parentheses, the sources are in the order of the text.
            let right = index + 1;
            let holds = if is_left(join.operator) { Holds::For(right) } else { Holds::Always };
            match &join.constraint {
                Some(JoinConstraint::On(condition)) => self.holds(condition, scope, holds),
                Some(JoinConstraint::Using(names)) => {
                    for name in names.iter().map(|name| plain(name.0)) {
                        self.merged(&name, right, holds, scope);
                        scope.merged.push(name);
                    }
                }
                None => {}
            }
        }
    }

    /// Takes a column that `USING` makes one of two.
    fn merged(&mut self, name: &str, right: usize, holds: Holds, scope: &Scope<'_>) {
        let before = &scope.sources[..right.min(scope.sources.len())];
        let is_known = before.iter().all(|source| source.place.is_some());
        let first = before.iter().find_map(|source| source.place.filter(|place| self.column(*place, name).is_some()));
        let to = scope.sources.get(right).and_then(|source| source.place);
        if let (RUN, true, Some(from), Some(to)) = (name, is_known, first, to) {
            self.same_run.push((from, to));
            if matches!(holds, Holds::Always) {
                self.same_run.push((to, from));
            }
        }
    }

    /// Takes what follows from a condition.
    fn holds(&mut self, condition: &Expr<'_>, scope: &Scope<'_>, holds: Holds) {
        let mut found = Vec::new();
        conditions(condition, self.parameters, &mut found);
        let only = match holds {
            Holds::Always => None,
            Holds::For(source) => Some(scope.sources.get(source).and_then(|source| source.place)),
        };
        let is_meant = |place: usize| only.is_none_or(|only| only == Some(place));
        for condition in found {
            match condition {
                Condition::Compared(column, comparison, values) => {
                    let Some((place, name, true)) = self.resolved(&column, scope) else { continue };
                    let kind = self.known[self.places[place].table].columns.iter().find(|column| column.name == name);
                    let fits = kind.is_some_and(|column| values.iter().all(|value| column.holds(value)));
                    if fits && is_meant(place) {
                        self.places[place].terms.push(Term { column: name, comparison, values });
                    }
                }
                Condition::Same(left, right) => {
                    let (left, right) = (self.resolved(&left, scope), self.resolved(&right, scope));
                    let (Some((left, RUN, left_is_here)), Some((right, RUN, right_is_here))) = (left, right) else {
                        continue;
                    };
                    if right_is_here && is_meant(right) {
                        self.same_run.push((left, right));
                    }
                    if left_is_here && is_meant(left) {
                        self.same_run.push((right, left));
                    }
                }
            }
        }
    }

    /// A column of a place, if it has it.
    fn column(&self, place: usize, name: &str) -> Option<&'static str> {
        let columns = &self.known[self.places[place].table].columns;
        columns.iter().find(|column| column.name == name).map(|column| column.name)
    }

    /// Which column of which place is meant, if that is plain, and whether that place belongs to this scope itself.
    fn resolved(&self, column: &ColumnName, scope: &Scope<'_>) -> Option<(usize, &'static str, bool)> {
        let (mut here, mut is_here) = (Some(scope), true);
        while let Some(scope) = here {
            if let Some(found) = self.resolved_in(column, scope) {
                let place = found?;
                return Some((place, self.column(place, &column.name)?, is_here));
            }
            (here, is_here) = (scope.around, false);
        }
        None
    }

    /// The place in one scope; an absent one within if it cannot be told, absent if the scope has none.
    fn resolved_in(&self, column: &ColumnName, scope: &Scope<'_>) -> Option<Option<usize>> {
        let has = |source: &&Source| match (&column.of, source.place) {
            (Some(of), _) => source.alias == *of,
            (None, Some(place)) => self.column(place, &column.name).is_some(),
            // What else is there may have it, too; then SQLite would have refused it, but where it is one of two.
            (None, None) => scope.merged.contains(&column.name),
        };
        let mut found = scope.sources.iter().filter(has);
        let first = found.next();
        let is_merged = column.of.is_none() && scope.merged.contains(&column.name);
        match (first, found.next()) {
            (Some(first), None) => Some(first.place),
            (Some(first), Some(_)) if is_merged && scope.sources.iter().all(|source| source.place.is_some()) => {
                Some(first.place)
            }
            (Some(_), Some(_)) => Some(None),
            (None, _) if column.of.is_none() && scope.sources.iter().any(|source| source.place.is_none()) => Some(None),
            (None, _) => None,
        }
    }

    fn order(&mut self, order: &[SortedColumn<'_>], scope: &Scope<'_>) {
        order.iter().for_each(|column| self.expression(&column.expr, scope));
    }

    fn all(&mut self, expressions: Option<&[Expr<'_>]>, scope: &Scope<'_>) {
        expressions.unwrap_or_default().iter().for_each(|expression| self.expression(expression, scope));
    }

    fn window(&mut self, window: &Window<'_>, scope: &Scope<'_>) {
        self.all(window.partition_by, scope);
        self.order(window.order_by.unwrap_or_default(), scope);
        let bounds = window.frame_clause.iter().flat_map(|frame| std::iter::once(&frame.start).chain(&frame.end));
        for bound in bounds {
            match bound {
                FrameBound::Following(expression) | FrameBound::Preceding(expression) => {
                    self.expression(expression, scope);
                }
                FrameBound::CurrentRow | FrameBound::UnboundedFollowing | FrameBound::UnboundedPreceding => {}
            }
        }
    }

    fn tail(&mut self, tail: Option<&FunctionTail<'_>>, scope: &Scope<'_>) {
        let Some(tail) = tail else { return };
        tail.filter_clause.iter().for_each(|filter| self.expression(filter, scope));
        match tail.over_clause {
            Some(Over::Window(window)) => self.window(window, scope),
            Some(Over::Name(_)) | None => {}
        }
    }

    /// Goes through an expression for what is asked within it.
    fn expression(&mut self, expression: &Expr<'_>, scope: &Scope<'_>) {
        match expression {
            Expr::Between { lhs, start, end, not: _ } => {
                [lhs, start, end].into_iter().for_each(|part| self.expression(part, scope));
            }
            Expr::Binary(left, _, right) => [left, right].into_iter().for_each(|part| self.expression(part, scope)),
            Expr::Case { base, when_then_pairs, else_expr } => {
                base.iter().chain(else_expr).for_each(|part| self.expression(part, scope));
                for (when, then) in *when_then_pairs {
                    self.expression(when, scope);
                    self.expression(then, scope);
                }
            }
            Expr::Cast { expr, type_name: _ } => self.expression(expr, scope),
            Expr::Collate(part, _) | Expr::IsNull(part) | Expr::NotNull(part) | Expr::Unary(_, part) => {
                self.expression(part, scope);
            }
            Expr::Exists(select) | Expr::Subquery(select) => self.select(select, Some(scope)),
            Expr::FunctionCall { args, order_by, filter_over, name: _, distinctness: _ } => {
                self.all(*args, scope);
                if let Some(FunctionCallOrder::SortList(order)) = order_by {
                    self.order(order, scope);
                }
                self.tail(filter_over.as_ref(), scope);
            }
            Expr::FunctionCallStar { filter_over, name: _ } => self.tail(filter_over.as_ref(), scope),
            Expr::InList { lhs, rhs, not: _ } => {
                self.expression(lhs, scope);
                self.all(*rhs, scope);
            }
            Expr::InSelect { lhs, rhs, not: _ } => {
                self.expression(lhs, scope);
                self.select(rhs, Some(scope));
            }
            Expr::InTable { lhs, rhs, args, not: _ } => {
                self.expression(lhs, scope);
                self.all(*args, scope);
                if let Some(table) = self.table(&plain(rhs.name.0)) {
                    self.places.push(Place { table, terms: Vec::new() });
                }
            }
            Expr::Like { lhs, rhs, escape, not: _, op: _ } => {
                [lhs, rhs].into_iter().chain(escape).for_each(|part| self.expression(part, scope));
            }
            Expr::Parenthesized(parts) => parts.iter().for_each(|part| self.expression(part, scope)),
            Expr::Raise(_, message) => message.iter().for_each(|part| self.expression(part, scope)),
            Expr::DoublyQualified(..)
            | Expr::Id(_)
            | Expr::Literal(_)
            | Expr::Name(_)
            | Expr::Qualified(..)
            | Expr::Variable(_) => {}
        }
    }
}

/// Whether rows of the left side are kept that nothing of the right one meets, and none of the right one.
fn is_left(operator: JoinOperator) -> bool {
    matches!(operator, JoinOperator::TypedJoin(Some(kind)) if kind.contains(JoinType::LEFT))
}

/// Whether every row that is joined meets the conditions of the joins, but for those of `LEFT JOIN`, and no column is made
/// one of two without being named. Parentheses are plain only where there is nothing but sources in them.
fn is_plain(from: &FromClause<'_>) -> bool {
    let is_plain_source = |source: &SelectTable<'_>| !matches!(source, SelectTable::Sub(..));
    let is_plain_join = |operator: JoinOperator| match operator {
        JoinOperator::TypedJoin(Some(kind)) => !kind.intersects(JoinType::RIGHT | JoinType::NATURAL),
        JoinOperator::TypedJoin(None) | JoinOperator::Comma => true,
    };
    let mut joins = from.joins.iter().flatten();
    from.select.is_none_or(is_plain_source)
        && joins.all(|join| is_plain_join(join.operator) && is_plain_source(&join.table))
}
