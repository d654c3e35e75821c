//! A row: a plain struct that [`table!`](crate::table) declares, with all that the cache must know of it.

use std::fmt::Debug;
use std::hash::Hash;

use super::{Column, ColumnType, Value};
use crate::bindings::lantern::plugin::schema;

/// A row of a declared table. [`table!`](crate::table) implements it; nobody else should.
pub trait Row: Clone + Debug + Default + PartialEq + 'static {
    /// What a row is looked up by: the borrowed key column, or a tuple of several.
    type Key<'k>: Copy + Debug + Hash + Ord;

    #[doc(hidden)]
    const TABLE: TableDeclaration;

    /// The primary key of this row.
    fn key(&self) -> Self::Key<'_>;
    /// A row with this key whose other columns have their default: 0, false, empty or null.
    fn with_key(key: Self::Key<'_>) -> Self;

    /// See [`KeyColumn::sort_prefix`](crate::KeyColumn::sort_prefix); of the first key column.
    #[doc(hidden)]
    fn sort_prefix(&self) -> u128;
    #[doc(hidden)]
    fn has_key(&self, key: Self::Key<'_>) -> bool;
    #[doc(hidden)]
    fn key_values(key: Self::Key<'_>) -> Vec<Value>;
    #[doc(hidden)]
    fn from_values(values: Vec<Value>) -> Option<Self>;
    #[doc(hidden)]
    fn encode(&self, out: &mut Vec<u8>);
    #[doc(hidden)]
    fn encode_key(&self, out: &mut Vec<u8>);
    #[doc(hidden)]
    fn encode_column(&self, name: &str, out: &mut Vec<u8>);
    #[doc(hidden)]
    fn encoded_len(&self) -> usize;
    /// The name of a column that is not a number, which no table can keep.
    #[doc(hidden)]
    fn nan_column(&self) -> Option<&'static str>;
}

/// What [`table!`](crate::table) says of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableDeclaration {
    pub name: &'static str,
    pub columns: &'static [ColumnDeclaration],
    pub primary_key: &'static [&'static str],
    pub indexes: &'static [IndexDeclaration],
}

#[derive(Clone, Copy, Debug)]
pub struct ColumnDeclaration {
    pub name: &'static str,
    pub column_type: ColumnType,
    pub nullable: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct IndexDeclaration {
    pub name: &'static str,
    pub columns: &'static [&'static str],
}

impl ColumnDeclaration {
    pub const fn of<C: Column>(name: &'static str) -> Self {
        Self { name, column_type: C::TYPE, nullable: C::NULLABLE }
    }
}

impl TableDeclaration {
    /// Whether a row can be unfit to be kept because of a NaN.
    pub const fn has_reals(&self) -> bool {
        let mut place = 0;
        while place < self.columns.len() {
            if matches!(self.columns[place].column_type, ColumnType::Real) {
                return true;
            }
            place += 1;
        }
        false
    }

    pub fn to_schema(self) -> schema::Table {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let column = |column: &ColumnDeclaration| schema::Column {
            name: column.name.to_owned(),
            column_type: column.column_type,
            nullable: column.nullable,
        };
        let index =
            |index: &IndexDeclaration| schema::Index { name: index.name.to_owned(), columns: owned(index.columns) };
        schema::Table {
            name: self.name.to_owned(),
            columns: self.columns.iter().map(column).collect(),
            primary_key: owned(self.primary_key),
            indexes: self.indexes.iter().map(index).collect(),
        }
    }
}

/// Declares a table and the struct of its rows.
///
/// ```
/// use lantern_sdk::prelude::*;
///
/// table! {
///     /// What a customer ordered of one product.
///     pub struct Order in "orders" {
///         key customer: String,
///         key product: i64,
///         /// In cents.
///         total: i64,
///         shipped: bool,
///         note: Option<String>,
///         index orders_by_product(product, shipped),
///     }
/// }
/// # let order = Order { total: 5, ..Order::with_key(("ann", 7)) };
/// # assert_eq!(order.key(), ("ann", 7));
/// ```
///
/// Columns have the types of [`Column`]. At least one column is a `key`; several make the
/// primary key in their order. An `index` names itself and its columns; index names are unique in
/// the read model. The names of table, columns and indexes are `[a-z][a-z0-9_]{0,62}`; the
/// words of the query API (`select`, `order`, `limit`, `offset`, `count`, ...) cannot be columns.
#[macro_export]
macro_rules! table {
    ($(#[$meta:meta])* $vis:vis struct $name:ident in $table:literal { $($body:tt)+ }) => {
        $crate::table!(@body { $(#[$meta])* $vis struct $name in $table } [] [] [] $($body)+ ,);
    };

    (@body $head:tt $keys:tt $columns:tt $indexes:tt $(,)?) => {
        $crate::table!(@declare $head $keys $columns $indexes);
    };
    (@body $head:tt [$($keys:tt)*] [$($columns:tt)*] $indexes:tt
        $(#[$meta:meta])* key $field:ident : $type:ty, $($rest:tt)*) => {
        $crate::table!(@body $head
            [$($keys)* ($field $type)] [$($columns)* ($(#[$meta])* $field $type)] $indexes $($rest)*);
    };
    (@body $head:tt $keys:tt $columns:tt [$($indexes:tt)*]
        index $index:ident ($($column:ident),+ $(,)?), $($rest:tt)*) => {
        $crate::table!(@body $head $keys $columns [$($indexes)* ($index $($column)+)] $($rest)*);
    };
    (@body $head:tt $keys:tt [$($columns:tt)*] $indexes:tt
        $(#[$meta:meta])* $field:ident : $type:ty, $($rest:tt)*) => {
        $crate::table!(@body $head $keys [$($columns)* ($(#[$meta])* $field $type)] $indexes $($rest)*);
    };

    (@declare { $($head:tt)* } [] $columns:tt $indexes:tt) => {
        ::core::compile_error!("a table needs a primary key: write `key` before at least one column");
    };
    (@declare { $(#[$meta:meta])* $vis:vis struct $name:ident in $table:literal }
        [$(($key:ident $key_type:ty))+]
        [$(($(#[$field_meta:meta])* $field:ident $type:ty))+]
        [$(($index:ident $($column:ident)+))*]) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        $vis struct $name {
            $($(#[$field_meta])* $vis $field: $type,)+
        }

        #[allow(unused_parens)]
        impl $crate::Row for $name {
            type Key<'k> = ($(<$key_type as $crate::KeyColumn>::Borrowed<'k>),+);

            const TABLE: $crate::__private::TableDeclaration = $crate::__private::TableDeclaration {
                name: $table,
                columns: &[$($crate::__private::ColumnDeclaration::of::<$type>(::core::stringify!($field))),+],
                primary_key: &[$(::core::stringify!($key)),+],
                indexes: &[$($crate::__private::IndexDeclaration {
                    name: ::core::stringify!($index),
                    columns: &[$(::core::stringify!($column)),+],
                }),*],
            };

            fn key(&self) -> Self::Key<'_> {
                ($($crate::KeyColumn::borrowed(&self.$key)),+)
            }

            fn with_key(key: Self::Key<'_>) -> Self {
                let ($($key),+) = key;
                let mut row = Self::default();
                $(row.$key = $crate::KeyColumn::owned($key);)+
                row
            }

            fn sort_prefix(&self) -> u128 {
                [$($crate::KeyColumn::sort_prefix(&self.$key)),+][0]
            }

            fn has_key(&self, key: Self::Key<'_>) -> bool {
                let ($($key),+) = key;
                true $(&& $crate::KeyColumn::is(&self.$key, $key))+
            }

            fn key_values(key: Self::Key<'_>) -> ::std::vec::Vec<$crate::Value> {
                let ($($key),+) = key;
                ::std::vec![$(<$key_type as $crate::KeyColumn>::value($key)),+]
            }

            fn from_values(values: ::std::vec::Vec<$crate::Value>) -> ::core::option::Option<Self> {
                let mut values = values.into_iter();
                ::core::option::Option::Some(Self { $($field: $crate::Column::from_value(values.next()?)?),+ })
            }

            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                $($crate::Column::encode(&self.$field, out);)+
            }

            fn encode_key(&self, out: &mut ::std::vec::Vec<u8>) {
                $($crate::Column::encode(&self.$key, out);)+
            }

            fn encode_column(&self, name: &str, out: &mut ::std::vec::Vec<u8>) {
                match name {
                    $(::core::stringify!($field) => $crate::Column::encode(&self.$field, out),)+
                    _ => ::core::unreachable!("an index is declared over the columns of its table"),
                }
            }

            fn encoded_len(&self) -> usize {
                0 $(+ $crate::Column::encoded_len(&self.$field))+
            }

            fn nan_column(&self) -> ::core::option::Option<&'static str> {
                $(if $crate::Column::is_nan(&self.$field) {
                    return ::core::option::Option::Some(::core::stringify!($field));
                })+
                ::core::option::Option::None
            }
        }

        // An index over a column that the table does not have does not compile.
        const _: fn(&$name) = |_row| {
            $($(let _ = &_row.$column;)+)*
        };
    };
}
