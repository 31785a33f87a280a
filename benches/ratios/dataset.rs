//! The data: which tickets and messages there are. All of it follows from formulas, so that pgbench's scripts can choose a message as well as
//! the service's load can.

/// Ids within a ticket follow its messages' numbers: id = ticket * this + number. More than the largest ticket has messages.
pub const IDS_PER_TICKET: i64 = 1 << 20;
/// The one large ticket. The others are 2, 3 and so on.
pub const LARGE_TICKET: i64 = 1;
/// Messages on a page of a list.
pub const PAGE_SIZE: i64 = 50;
/// The application whose messages these are.
pub const APPLICATION: &str = "bench";
/// Where the ids of the messages begin that are made to be deleted; all others are below.
const FIRST_DELETABLE: i64 = 1 << 50;
/// Ids between the first messages of two runs of deletions.
const DELETABLE_PER_RUN: i64 = 1 << 32;
/// Consecutive deletions are this many tickets apart. A prime that divides no spread of tickets in use.
pub const STRIDE: i64 = 7919;

/// A sentence of about the length that chat messages have.
const TEXT: &str = "Thank you for waiting. I looked at the order, and the parcel left our warehouse on Monday; \
                    it should be with you in two days.";
/// What clients send along.
pub const DATA: &str = r#"{"client": "web", "locale": "en"}"#;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Dataset {
    /// All tickets.
    pub tickets: i64,
    /// Messages of the large ticket.
    pub large: i64,
    /// Messages of all other tickets together.
    pub others: i64,
    /// What the size of a ticket comes from: ticket t has this / sqrt(t) messages, a Zipf distribution with the exponent one half.
    pub size_factor: i64,
}

impl Dataset {
    pub fn new(quick: bool) -> Self {
        let (tickets, large, others) = if quick { (200, 10_000, 10_000) } else { (20_000, 1_000_000, 1_000_000) };
        let mut dataset = Self { tickets, large, others, size_factor: 0 };
        while dataset.by_formula() <= others {
            dataset.size_factor += 1;
        }
        dataset.size_factor -= 1;
        dataset
    }

    fn by_formula(&self) -> i64 {
        (2..=self.tickets).map(|ticket| self.formula(ticket)).sum()
    }

    /// The same number that PostgreSQL and pgbench compute: root and quotient are exact to the last bit in all three.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "far below 2^53")]
    fn formula(&self, ticket: i64) -> i64 {
        (self.size_factor as f64 / (ticket as f64).sqrt()).floor() as i64
    }

    /// How many messages a ticket is loaded with. The second ticket has what the formula leaves over.
    pub fn size(&self, ticket: i64) -> i64 {
        match ticket {
            LARGE_TICKET => self.large,
            2 => self.formula(2) + self.others - self.by_formula(),
            _ => self.formula(ticket),
        }
    }

    /// The last ticket with a whole page of messages; all from 2 up to it have one.
    pub fn last_full(&self) -> i64 {
        (2..=self.tickets).take_while(|ticket| self.formula(*ticket) >= PAGE_SIZE).last().unwrap_or(2)
    }

    /// The last of some hundred tickets that are read again and again.
    pub fn last_hot(&self) -> i64 {
        self.last_full().min(101)
    }

    /// Tickets that messages are stored in and deleted from: all but the large one, whose row would be a lock on everything.
    pub fn spread(&self) -> i64 {
        self.tickets - 1
    }

    /// Entries of the log that are there at first: for a tenth of the large ticket, from its middle on.
    pub fn logs(&self) -> i64 {
        self.large / 10
    }

    /// The number of the last message before those of which the log tells.
    fn before_logs(&self) -> i64 {
        self.large / 2
    }

    /// How many entries of the log a deep page passes over.
    pub fn deep_logs(&self) -> i64 {
        self.logs() * 9 / 10
    }

    /// How many messages a deep page passes over: it is the last one of the large ticket.
    pub fn deep(&self) -> i64 {
        self.large - PAGE_SIZE
    }

    /// Says what was loaded, so that a database that was kept is known again.
    pub fn mark(&self) -> String {
        format!("{self:?} 2")
    }

    /// The statements that load it, for the application's key.
    pub fn load(&self, application_key: i32) -> Vec<String> {
        let Self { tickets, large, size_factor, .. } = self;
        let second = self.size(2);
        let (logs, before_logs) = (self.logs(), self.before_logs());
        vec![
            // All that is loaded is whole in the end: it is not checked row by row.
            "set session_replication_role = replica".to_owned(),
            format!(
                "insert into tickets (application_key, id, message_count, status, priority, channel_type, channel_url, channel_name,
                    customer_sendbird_id, customer_display_name, info, custom_fields, related_channels, create_time, issue_time,
                    close_time, close_status, close_comment)
                select {application_key}, t, case t when {LARGE_TICKET} then {large} when 2 then {second}
                        else floor({size_factor} / sqrt(t::double precision))::bigint end,
                    'CLOSED', 'MEDIUM', 'SENDBIRD', 'channel_' || t, 'Support', 'customer_' || t, 'Customer ' || t, '', '{{}}', '',
                    now() - interval '60 days', now() - interval '60 days', now() - interval '40 days', 'RESOLVED', ''
                from generate_series(1, {tickets}) t"
            ),
            // Stored ticket by ticket, as batches leave them.
            format!(
                "insert into chat_messages (application_key, ticket_id, message_id, id, user_sendbird_id, user_type, create_time,
                    delete_time, requested_from, message, data, files, external_id)
                select t.application_key, t.id, m.number, t.id * {IDS_PER_TICKET} + m.number,
                    case when m.number % 2 = 0 then 'agent_7' else t.customer_sendbird_id end,
                    case when m.number % 2 = 0 then 'AGENT' else 'CUSTOMER' end,
                    t.create_time + m.number * interval '1 second', d.delete_time, d.requested_from,
                    case when d.delete_time is null then 'Message ' || m.number || ' of ticket ' || t.id || '. {TEXT}' else '' end,
                    case when d.delete_time is null then '{DATA}' else '' end, '[]', 'load-' || m.number
                from tickets t
                cross join lateral generate_series(1, t.message_count) m (number)
                left join lateral (
                    select now() - interval '20 days' + (m.number - {before_logs}) * interval '10 seconds' as delete_time,
                        'PLATFORM_API' as requested_from
                    where t.id = {LARGE_TICKET} and m.number > {before_logs} and m.number <= {before_logs} + {logs}
                ) d on true
                where t.application_key = {application_key}"
            ),
            format!(
                "insert into deletion_logs (application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type,
                    create_time, delete_time, requested_from, reason_detail, token_id, content_digest, content_salt)
                select application_key, ticket_id, id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
                    '', 'loaded', sha256(int8send(id)), sha256(int8send(-id))
                from chat_messages
                where application_key = {application_key} and ticket_id = {LARGE_TICKET} and delete_time is not null
                order by message_id"
            ),
            // As the sequencer counts what it puts into the tree.
            format!(
                "insert into deletion_log_counts (application_key, unit, start_time, count)
                select application_key, unit.name, date_trunc(unit.name, delete_time, 'UTC'), count(*)
                from deletion_logs
                cross join unnest(array['day', 'hour', 'minute', 'second']) as unit (name)
                where application_key = {application_key}
                group by 1, 2, 3"
            ),
            format!(
                "select setval('ticket_ids', {tickets}), setval('chat_message_ids', {})",
                (tickets + 1) * IDS_PER_TICKET
            ),
            "reset session_replication_role".to_owned(),
            "vacuum (analyze) tickets, chat_messages, deletion_logs, deletion_log_counts".to_owned(),
        ]
    }

    /// The first id of the messages that a run deletes.
    pub fn first_deletable(run: u32) -> i64 {
        FIRST_DELETABLE + i64::from(run) * DELETABLE_PER_RUN
    }

    /// The ticket of the k-th message that a run deletes.
    pub fn ticket_of_deletable(&self, k: i64) -> i64 {
        2 + k * STRIDE % self.spread()
    }

    /// The statements that make at least so many messages to delete, the same number in every ticket but the large one.
    pub fn make_deletable(&self, application_key: i32, run: u32, at_least: i64) -> Vec<String> {
        let (spread, first) = (self.spread(), Self::first_deletable(run));
        let of_each = (at_least + spread - 1) / spread;
        vec![
            format!(
                "insert into chat_messages (application_key, ticket_id, message_id, id, user_sendbird_id, user_type, create_time, message,
                    data, files)
                select t.application_key, t.id, t.message_count + k / {spread} + 1, {first} + k, t.customer_sendbird_id, 'CUSTOMER',
                    t.create_time, 'Message to delete in ticket ' || t.id || '. {TEXT}', '{DATA}', '[]'
                from generate_series(0, {of_each} * {spread} - 1) k
                join tickets t on t.application_key = {application_key} and t.id = 2 + k * {STRIDE} % {spread}
                order by t.id, k"
            ),
            format!(
                "update tickets set message_count = message_count + {of_each}, version = version + 1
                where application_key = {application_key} and id >= 2"
            ),
        ]
    }
}

/// The n-th message of a batch to store.
pub fn new_message(n: usize) -> String {
    format!("Message {n} of a batch. {TEXT}")
}
