//! The tables of a projection: one [`Table`], or a tuple of up to twelve.

use std::rc::Rc;

use super::{CommittedRows, Row, Table, TableDeclaration};
use crate::Error;

/// The tables of a projection: `Table<A>` or `(Table<A>, Table<B>, ...)`, in the order in which they
/// are declared to the host.
pub trait Tables: Sized {
    #[doc(hidden)]
    fn declarations() -> Vec<TableDeclaration>;
    /// `capacity` is about how many bytes of rows stay in memory, of all tables together.
    #[doc(hidden)]
    fn open(committed: &Rc<dyn CommittedRows>, place: u16, capacity: usize) -> Self;
    /// Called behind each event.
    #[doc(hidden)]
    fn end_event(&mut self) -> Result<(), Error>;
    /// Called behind each batch.
    #[doc(hidden)]
    fn end_batch(&mut self) -> Result<(), Error>;
    /// Rows changed since the last flush, and the bytes that they take.
    #[doc(hidden)]
    fn pending(&self) -> (usize, u64);
    #[doc(hidden)]
    fn flush(&mut self, out: &mut Vec<u8>);
}

impl<R: Row> Tables for Table<R> {
    fn declarations() -> Vec<TableDeclaration> {
        vec![R::TABLE]
    }

    fn open(committed: &Rc<dyn CommittedRows>, place: u16, capacity: usize) -> Self {
        Table::new(place, Rc::clone(committed), capacity)
    }

    fn end_event(&mut self) -> Result<(), Error> {
        // A NaN belongs to the event that made it, even if the next event would repair it: how
        // events are batched must not matter. A changed key cannot be repaired, so it can wait.
        if const { R::TABLE.has_reals() } { self.settle() } else { Ok(()) }
    }

    fn end_batch(&mut self) -> Result<(), Error> {
        self.settle()
    }

    fn pending(&self) -> (usize, u64) {
        Table::pending(self)
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        Table::flush(self, out);
    }
}

macro_rules! tuples {
    ($($name:ident $place:tt),+) => {
        impl<$($name: Row),+> Tables for ($(Table<$name>,)+) {
            fn declarations() -> Vec<TableDeclaration> {
                vec![$($name::TABLE),+]
            }

            fn open(committed: &Rc<dyn CommittedRows>, place: u16, capacity: usize) -> Self {
                let capacity = capacity / [$($place),+].len();
                ($(<Table<$name> as Tables>::open(committed, place + $place, capacity),)+)
            }

            fn end_event(&mut self) -> Result<(), Error> {
                $(Tables::end_event(&mut self.$place)?;)+
                Ok(())
            }

            fn end_batch(&mut self) -> Result<(), Error> {
                $(Tables::end_batch(&mut self.$place)?;)+
                Ok(())
            }

            fn pending(&self) -> (usize, u64) {
                let pending = [$(Tables::pending(&self.$place)),+];
                pending.into_iter().fold((0, 0), |(rows, bytes), table| (rows + table.0, bytes + table.1))
            }

            fn flush(&mut self, out: &mut Vec<u8>) {
                $(Tables::flush(&mut self.$place, out);)+
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
