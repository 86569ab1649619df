//! UPDATE statements that are prepared once.
//!
//! diesel prepares each of its own again whenever it runs, which costs as much as running it: it cannot know that their
//! text does not depend on their values. Here it never does, as each changeset sets all its columns (`None` to NULL).

use diesel::{
    expression::AppearsOnTable,
    prelude::*,
    query_builder::{AsChangeset, AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

/// `UPDATE from SET values WHERE guard`.
struct Update<F, V, W> {
    from: F,
    values: V,
    guard: W,
}

/// Sets `values` in the rows of `table` for which `guard` holds, and answers how many these are.
pub(crate) fn update<T, V, W>(
    connection: &mut SqliteConnection,
    table: T,
    values: V,
    guard: W,
) -> QueryResult<usize>
where
    T: QuerySource,
    T::FromClause: QueryFragment<Sqlite>,
    V: AsChangeset<Target = T>,
    V::Changeset: QueryFragment<Sqlite>,
    W: AppearsOnTable<T> + QueryFragment<Sqlite>,
{
    Update { from: table.from_clause(), values: values.as_changeset(), guard }.execute(connection)
}

impl<F, V, W> QueryFragment<Sqlite> for Update<F, V, W>
where
    F: QueryFragment<Sqlite>,
    V: QueryFragment<Sqlite>,
    W: QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.from.walk_ast(out.reborrow())?;
        out.push_sql(" SET ");
        self.values.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE ");
        self.guard.walk_ast(out)
    }
}

/// None: the statement is known by its text.
impl<F, V, W> QueryId for Update<F, V, W> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<F, V, W> RunQueryDsl<SqliteConnection> for Update<F, V, W> {}
