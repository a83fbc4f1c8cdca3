//! The mistakes, by the test that finds them.

mod elements;
mod products;
mod random;
mod sums;
mod training;

use super::Mistake;

macro_rules! mistakes {
    ($($test:path { $($found:ident $file:literal: $from:literal => $to:literal;)+ })+) => {
        pub(super) const MISTAKES: &[Mistake] = &[
            $($(Mistake { test: stringify!($test), found: $found, file: $file, from: $from, to: $to },)+)+
        ];
    };
}
use mistakes;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Mistake> {
    [elements::MISTAKES, random::MISTAKES, sums::MISTAKES, products::MISTAKES, training::MISTAKES].into_iter().flatten()
}
