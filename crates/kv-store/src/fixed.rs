//! Fixed statements: what SQLite is told over and over, in a form that Diesel does not have to go through anew each time.
//! It is prepared once a connection, found again by its type, and walked through for its values alone.
//!
//! Only for what every request pays for. Everything else is written with Diesel's query builder.

/// Makes a type of a statement: its text before the values, the values with their types, and its text after them.
macro_rules! fixed {
    ($(#[$doc:meta])* $name:ident, $before:literal ($($field:ident: $sql:ty = $rust:ty,)+) $after:literal) => {
        $(#[$doc])*
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: $rust,)+
        }

        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::RunQueryDsl<diesel::SqliteConnection> for $name<'_> {}

        impl diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                let mut between = $before;
                $(
                    out.push_sql(std::mem::replace(&mut between, ", "));
                    out.push_bind_param::<$sql, _>(&self.$field)?;
                )+
                out.push_sql($after);
                let _ = between;
                Ok(())
            }
        }
    };
}
pub(crate) use fixed;
