//! Which running Catcher a command speaks to, and in what form it shows what it hears.

use salobj::{Clock, Domain, Remote, RemoteOptions};

use super::outside::{Bus, Outside};
use super::topics::XmlDir;

/// See the module's documentation.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// SAL index of the Catcher.
    #[arg(long, default_value_t = 1)]
    pub(super) index: i32,
    /// As JSON; what is followed as a line for each change.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) xml: XmlDir,
}

impl Which {
    /// A remote that hears this event of it, and the domain that the remote lives in.
    ///
    /// # Errors
    /// The bus cannot be reached, or the interfaces cannot be read.
    pub(super) async fn remote(&self, outside: &Outside, event: &str) -> anyhow::Result<(Domain, Remote)> {
        let Bus { transport, env } = outside.bus()?;
        let domain = Domain::new(transport, Clock::System, env);
        let component = self.xml.library()?.with_compiled_in("Catcher")?.component("Catcher")?;
        let remote = Remote::open(&domain, component, self.index, RemoteOptions::include([event])).await?;
        Ok((domain, remote))
    }
}
