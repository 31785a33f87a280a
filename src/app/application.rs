//! Applications, as operators manage them.

use crate::app::App;
use crate::error::Error;
use crate::storage;
use crate::storage::application::Application;

impl App {
    /// Makes an application; false when the id is taken.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn create_application(&self, id: &str, name: &str) -> Result<bool, Error> {
        let made = storage::application::insert(&mut *self.connection().await?, id, name, self.now()).await?;
        Ok(made.is_some())
    }

    /// Lists all applications by id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list_applications(&self) -> Result<Vec<Application>, Error> {
        storage::application::list(&mut *self.connection().await?).await
    }

    /// Finds an application by its public id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn find_application(&self, id: &str) -> Result<Option<Application>, Error> {
        storage::application::find(&mut *self.connection().await?, id).await
    }
}
