//! The users as they are listed: by name, small and capital letters alike, and found by how their names begin. Never changed
//! here.

use crate::{
    authority::role_columns,
    backend::AnyConn,
    error::Result,
    page::{Page, PageRequest},
    row::text,
    schema::{roles, second_factors, users},
    store::Store,
    users::{UserColumns, UserRecord, record, user_columns},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl, dsl::sql, sql_types::Text,
};

/// After every text that begins alike: no character comes behind it.
const LAST: char = char::MAX;

/// A name as it is ordered and looked for: the expression that `users_by_name` is an index on. On both databases it makes
/// small letters of `A` to `Z` alone, and compares bytes.
fn folded(conn: &AnyConn) -> &'static str {
    match conn {
        AnyConn::Sqlite(_) => "lower(users.name)",
        AnyConn::Pg(_) => "lower(users.name COLLATE \"C\")",
    }
}

impl Store {
    /// The users by name; those whose names begin as told.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn list_users(&self, prefix: Option<&str>, page: PageRequest) -> Result<Page<UserRecord>> {
        self.read(|conn| {
            let folded = folded(conn);
            let name = || sql::<Text>(folded);
            let mut query = users::table
                .left_join(roles::table.on(roles::id.eq(users::role)))
                .left_join(second_factors::table.on(second_factors::user_id.eq(users::id)))
                .filter(users::deleted_at.is_null())
                .order((name(), users::id))
                .limit(page.rows())
                .select(user_columns!())
                .into_boxed();
            if let Some(prefix) = prefix {
                let begins = text(prefix).to_ascii_lowercase();
                let ends = format!("{begins}{LAST}");
                query = query.filter(name().ge(begins)).filter(name().lt(ends));
            }
            if let Some(last) = page.last() {
                // Deleted meanwhile or not: the row is still there to go on from.
                let after: Option<String> = users::table.find(&last).select(name()).first(conn).optional()?;
                let Some(after) = after else { return Ok(page.page(Vec::new(), |user: &UserRecord| user.id.uuid())) };
                query = query.filter(name().ge(after.clone())).filter(name().gt(after).or(users::id.gt(last)));
            }
            let rows: Vec<UserColumns> = query.load(conn)?;
            let items = rows.into_iter().map(|row| record(conn, row)).collect::<Result<Vec<_>>>()?;
            Ok(page.page(items, |user| user.id.uuid()))
        })
    }
}
