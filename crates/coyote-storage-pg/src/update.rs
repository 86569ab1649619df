//! Statements that change one row, or fail the transaction they are in.
//!
//! They are prepared once. diesel prepares each UPDATE of its own again whenever it runs, which is another round trip: it
//! cannot know that their text does not depend on their values. Here it never does, as each changeset sets all its
//! columns (`None` to NULL).

use diesel::{
    QueryResult, QuerySource,
    expression::AppearsOnTable,
    pg::Pg,
    query_builder::{AsChangeset, AstPass, QueryFragment, QueryId},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Failure;

/// `UPDATE from SET values WHERE guard`, or DELETE if there are no values.
struct Change<F, V, W> {
    from: F,
    values: Option<V>,
    guard: W,
}

/// Sets `values` in the one row of `table` for which `guard` holds: the row's key, and what the rule has seen of it.
///
/// If there is no such row (it was locked and read before, so there is), the transaction is run again.
pub(crate) async fn update<T, V, W>(
    connection: &AsyncPgConnection,
    table: T,
    values: V,
    guard: W,
) -> Result<(), Failure>
where
    T: QuerySource,
    T::FromClause: QueryFragment<Pg> + Send,
    V: AsChangeset<Target = T>,
    V::Changeset: QueryFragment<Pg> + Send,
    W: AppearsOnTable<T> + QueryFragment<Pg> + Send,
{
    let change = Change { from: table.from_clause(), values: Some(values.as_changeset()), guard };
    change.run(connection).await
}

/// Deletes the one row of `table` for which `guard` holds, likewise.
pub(crate) async fn delete<T, W>(connection: &AsyncPgConnection, table: T, guard: W) -> Result<(), Failure>
where
    T: QuerySource,
    T::FromClause: QueryFragment<Pg> + Send,
    W: AppearsOnTable<T> + QueryFragment<Pg> + Send,
{
    Change { from: table.from_clause(), values: None::<T::FromClause>, guard }.run(connection).await
}

impl<F, V, W> Change<F, V, W>
where
    F: QueryFragment<Pg> + Send,
    V: QueryFragment<Pg> + Send,
    W: QueryFragment<Pg> + Send,
{
    async fn run(self, mut connection: &AsyncPgConnection) -> Result<(), Failure> {
        self.execute(&mut connection).await?;
        Ok(())
    }
}

impl<F, V, W> QueryFragment<Pg> for Change<F, V, W>
where
    F: QueryFragment<Pg>,
    V: QueryFragment<Pg>,
    W: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH changed AS (");
        match &self.values {
            Some(values) => {
                out.push_sql("UPDATE ");
                self.from.walk_ast(out.reborrow())?;
                out.push_sql(" SET ");
                values.walk_ast(out.reborrow())?;
            }
            None => {
                out.push_sql("DELETE FROM ");
                self.from.walk_ast(out.reborrow())?;
            }
        }
        out.push_sql(" WHERE ");
        self.guard.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING 1) SELECT require_one(count(*)) FROM changed");
        Ok(())
    }
}

/// None: the statement is known by its text.
impl<F, V, W> QueryId for Change<F, V, W> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
