// SPDX-License-Identifier: Apache-2.0
//! The rules of the house, read from the sources: layers, budgets, words, and who may depend on whom. Text only: it
//! builds nothing and takes less than a second.

pub(crate) mod source;

mod layering;

mod budgets;

mod words;

mod zones;

mod tree;

mod floors;
