// SPDX-License-Identifier: Apache-2.0
//! A cell that others watch: who puts in what is there already wakes nobody.

use tokio::sync::watch;

/// Puts `value` into the cell.
pub(crate) fn put<T: PartialEq>(cell: &watch::Sender<T>, value: T) {
    cell.send_if_modified(|before| {
        let changed = *before != value;
        *before = value;
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_value_is_news() {
        let (cell, mut watched) = watch::channel(1);
        put(&cell, 1);
        assert!(!watched.has_changed().unwrap());
        put(&cell, 2);
        assert_eq!((watched.has_changed().unwrap(), *watched.borrow_and_update()), (true, 2));
    }
}
