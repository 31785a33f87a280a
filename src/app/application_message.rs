//! The messages of a whole application: the one list of them that is not of a ticket.

use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::chat_message::{ApplicationFilter, ChatMessage};
use crate::domain::ids::ChatMessageId;
use crate::domain::page::{Binding, Page, PageRequest, cut_to};
use crate::error::Error;
use crate::storage;

impl App {
    /// Lists the application's messages ascending by id, tombstones included.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    pub async fn list_application_messages(
        &self,
        caller: &Caller,
        filter: &ApplicationFilter,
        page: &PageRequest,
    ) -> Result<Page<ChatMessage>, Error> {
        let binding = Binding::new(caller.application, "ListApplicationMessages", filter);
        let [after] = match &page.token {
            Some(token) => binding.position("page_token", token)?,
            None => [0],
        };
        let mut connection = self.connection().await?;
        let (application, after) = (caller.application, ChatMessageId(after));
        let total_size = storage::application_message::count(&mut connection, application, filter).await?;
        let asked = page.size + 1; // one more tells whether there is a next page
        let mut items = storage::application_message::list(&mut connection, application, filter, after, page.skip, asked).await?;
        let more = cut_to(&mut items, page.size);
        let next_page_token = items.last().filter(|_| more).map(|last| binding.token([last.id.0]));
        Ok(Page { items, next_page_token, total_size })
    }
}
