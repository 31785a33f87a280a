//! What callers are promised, through the public doors. A module for each promise; names are sentences.

mod deletion;
