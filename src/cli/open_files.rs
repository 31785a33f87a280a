//! How many files, and so connections, the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are open beside the connections of clients: the database's, logs, what is read now and then.
const OTHERS: u64 = 1_024;

/// Raises the limit of the process to the most that the system allows it. The soft limit is low for the sake of old programs only.
pub(super) fn raise_limit(connections: u64) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok((soft, hard))
    });
    match raised {
        Ok((before, limit)) if limit < connections.saturating_add(OTHERS) => {
            tracing::warn!(
                limit,
                before,
                connections,
                "fewer open files are allowed than --max-connections needs: raise the hard limit"
            );
        }
        Ok((before, limit)) => tracing::info!(limit, before, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise how many files may be open"),
    }
}
