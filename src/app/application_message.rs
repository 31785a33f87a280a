//! The messages of a whole application: the one list of them that is not of a ticket.

use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::chat_message::{ApplicationFilter, ChatMessage};
use crate::domain::ids::ChatMessageId;
use crate::domain::list_milestone::Place;
use crate::domain::page::{Binding, Page, PageRequest, cut_to};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;

impl App {
    /// Lists the application's messages ascending by id, tombstones included.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_application_messages(
        &self,
        caller: &Caller,
        filter: &ApplicationFilter,
        page: &PageRequest,
    ) -> Result<Page<ChatMessage>, Error> {
        let binding = Binding::new(caller.application, "ListApplicationMessages", filter);
        let after = page.after(binding)?;
        let (application, asked) = (caller.application, page.size + 1); // one more tells whether there is a next page
        let mut connection = self.connection().await?;
        let (mut items, total_size) = if *filter == ApplicationFilter::default() {
            let place =
                storage::list_milestone::place::among_chat_messages(&mut connection, application, ChatMessageId(after), page.skip);
            let Place { after, total_size } = place.await?;
            (storage::application_message::all(&mut connection, application, ChatMessageId(after), asked).await?, total_size)
        } else {
            // What a filter chooses has no milestones: it is counted and passed over row by row.
            let total_size = storage::application_message::count(&mut connection, application, filter).await?;
            let after = ChatMessageId(after);
            (storage::application_message::chosen(&mut connection, application, filter, after, page.skip, asked).await?, total_size)
        };
        let more = cut_to(&mut items, page.size);
        Ok(Page::of(items, total_size, more, |last| binding.token([last.id.0])))
    }
}
