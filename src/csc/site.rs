//! What the site configured, for the parts that act on it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::sync::watch;

use crate::config::{CatcherConfig, allows};
use crate::outputs::efd::{Efd, EfdError, Point, SeriesQuery, Table, TextQuery};
use crate::outputs::love::Manager;
use crate::outputs::notify::Notify;
use crate::tasks::steps::Intent;

/// The applied configuration; empty before the first `start`. Readers take a snapshot.
#[derive(Debug, Default)]
pub struct Site {
    config: ArcSwapOption<CatcherConfig>,
    efd: ArcSwapOption<Arc<dyn Efd>>,
    notify: ArcSwapOption<Notify>,
    love: watch::Sender<Option<Arc<Manager>>>,
}

impl Site {
    /// Replaces configuration, EFD, who is told, and LOVE.
    pub fn set(
        &self,
        config: CatcherConfig,
        efd: Option<Arc<dyn Efd>>,
        notify: Notify,
        love: Option<Manager>,
    ) {
        self.notify.store(Some(Arc::new(notify)));
        self.love.send_replace(love.map(Arc::new));
        self.config.store(Some(Arc::new(config)));
        self.efd.store(efd.map(Arc::new));
    }

    /// The configuration.
    pub fn config(&self) -> Option<Arc<CatcherConfig>> {
        self.config.load_full()
    }

    /// Who is told, and by which services.
    pub fn notify(&self) -> Option<Arc<Notify>> {
        self.notify.load_full()
    }

    /// The LOVE-manager that is configured, now and whenever that changes.
    pub fn love(&self) -> watch::Receiver<Option<Arc<Manager>>> {
        self.love.subscribe()
    }

    /// The EFD, if one is configured.
    pub fn efd(&self) -> Option<Arc<dyn Efd>> {
        self.efd.load_full().map(|efd| Arc::clone(efd.as_ref()))
    }

    /// Whether rules may send that command.
    ///
    /// # Errors
    /// What is not allowed; before the first configuration nothing is.
    pub fn allows(&self, intent: &Intent<'_>) -> Result<(), String> {
        let config = self.config();
        allows(config.as_ref().map_or(&[], |c| &c.allowed_commands), intent)
    }
}

/// The site's EFD as of now, for parts that are made before anything is configured.
#[derive(Debug)]
pub struct SiteEfd(
    /// Where it is looked up.
    pub Arc<Site>,
);

impl SiteEfd {
    fn now(&self) -> Result<Arc<dyn Efd>, EfdError> {
        let none = || EfdError::Unavailable {
            server: "(none)".to_owned(),
            detail: "no EFD is configured".to_owned(),
        };
        self.0.efd().ok_or_else(none)
    }
}

#[async_trait]
impl Efd for SiteEfd {
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError> {
        self.now()?.query(query).await
    }

    async fn ask(&self, query: &TextQuery) -> Result<Table, EfdError> {
        self.now()?.ask(query).await
    }

    async fn write(&self, points: &[Point]) -> Result<(), EfdError> {
        self.now()?.write(points).await
    }

    async fn health(&self) -> Result<String, EfdError> {
        self.now()?.health().await
    }

    fn describe(&self) -> String {
        self.now().map_or_else(|_| "none".to_owned(), |efd| efd.describe())
    }
}
