//! Milestones: every two hundredth row of a list of a whole application, counted once.

/// How many rows lie from one milestone to the next. The table's own check and the statements hold the same number.
pub const MILESTONE_ROWS: i64 = 200;

/// A list of a whole application, ascending by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Its tickets.
    Tickets,
    /// Its messages.
    ChatMessages,
}

impl List {
    /// Every such list.
    pub const ALL: [Self; 2] = [Self::Tickets, Self::ChatMessages];
}

/// Where a page of a list begins, and how long the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The page begins after the row with this id, which need not be there.
    pub after: i64,
    /// How many rows the whole list has.
    pub total_size: i64,
}
