//! What operators see of the service: logs, metrics and traces. Content and tokens never come here.

mod calls;
mod measured;
mod metrics;
mod names;
mod process;
mod statements;
mod traces;

use std::io::IsTerminal;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{AdminListen, LogFormat, LogSettings, TelemetrySettings};
use crate::measures::{CALLS, STATEMENTS};
pub use crate::telemetry::calls::{CurrentCall, REQUEST_ID_HEADER, current_request_id, log, request_id, trace};
pub use crate::telemetry::measured::{CallMetrics, measure};
pub use crate::telemetry::metrics::{Metrics, Sources};
pub use crate::telemetry::names::Methods;
pub use crate::telemetry::statements::StatementMetrics;
pub use crate::telemetry::traces::{Exporter, Tracing};

/// The level of our spans. A layer that does not say that it wants no others has those of all libraries made: dozens for each call.
const SPANS: LevelFilter = LevelFilter::INFO;

/// What a serving process tells of itself. The default tells nothing.
#[derive(Default)]
pub struct Telemetry {
    /// Where metrics and probes are served, if anywhere.
    pub admin: Option<TcpListener>,
    /// How long statements take.
    pub statements: StatementMetrics,
    /// The share of calls to trace, where traces are sent.
    pub trace_ratio: Option<f64>,
    /// Sends traces; to be stopped last.
    pub exporter: Option<Exporter>,
}

impl Telemetry {
    /// Starts logs, and as the settings say metrics and traces; in a runtime, by which traces are sent.
    ///
    /// # Errors
    /// When a setting cannot be read, or the address of metrics not be had.
    pub async fn start(log: &LogSettings, settings: &TelemetrySettings) -> anyhow::Result<Self> {
        let (admin, passed_over) = match settings.admin() {
            AdminListen::Off => (None, None),
            AdminListen::At(address) => {
                let bound = TcpListener::bind(&address).await;
                (Some(bound.with_context(|| format!("cannot listen on {address} for metrics"))?), None)
            }
            AdminListen::IfFree(address) => match TcpListener::bind(&address).await {
                Ok(listener) => (Some(listener), None),
                Err(error) => (None, Some((address, error))),
            },
        };
        let exporter = settings.collector().map(Exporter::start).transpose()?;
        let statements = StatementMetrics::default();
        subscriber(log, admin.as_ref().map(|_| &statements), exporter.as_ref())?.init();
        if let Some((address, error)) = passed_over {
            tracing::warn!(address, %error, "no metrics and probes: set --admin-listen to an address of their own, or to off");
        }
        let trace_ratio = exporter.as_ref().map(|_| settings.trace_ratio);
        Ok(Self { admin, statements, trace_ratio, exporter })
    }
}

/// Who is told of spans and events.
fn subscriber(
    log: &LogSettings,
    statements: Option<&StatementMetrics>,
    exporter: Option<&Exporter>,
) -> anyhow::Result<impl tracing::Subscriber + Send + Sync + use<>> {
    let mut layers = vec![logs(log)?.boxed()];
    layers.extend(statements.map(|statements| statements.layer().boxed()));
    layers.extend(exporter.map(|exporter| exporter.layer().boxed()));
    // A list of those that are there. One of them as an `Option` would be a layer without a filter, before which no span is left out for good:
    // with it every span is made, whoever wants it.
    Ok(tracing_subscriber::registry().with(layers))
}

/// Starts the logs of a command that serves nothing.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(settings: &LogSettings) -> anyhow::Result<()> {
    tracing_subscriber::registry().with(logs(settings)?).init();
    Ok(())
}

/// Logs to standard error.
fn logs<S: tracing::Subscriber + for<'a> LookupSpan<'a>>(settings: &LogSettings) -> anyhow::Result<impl Layer<S> + use<S>> {
    let mut filter = EnvFilter::builder().parse(&settings.log).context("the log setting cannot be read")?;
    for target in [CALLS, STATEMENTS] {
        filter = filter.add_directive(format!("{target}=off").parse()?);
    }
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match settings.log_format {
        LogFormat::Json => {
            logs.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed()
        }
        LogFormat::Pretty => logs.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
    })
}

#[cfg(test)]
mod tests {
    use tracing::Subscriber;

    use super::*;

    #[tokio::test]
    async fn spans_of_libraries_are_not_made_whatever_is_measured_and_traced() {
        let exporter = Exporter::start("http://127.0.0.1:9").expect("it connects when there is something to send");
        let statements = StatementMetrics::default();
        for (filter, level) in [("info", LevelFilter::INFO), ("warn,deskledger=debug", LevelFilter::DEBUG)] {
            let log = LogSettings { log: filter.to_owned(), log_format: LogFormat::Json };
            for (statements, exporter) in
                [(None, None), (Some(&statements), None), (None, Some(&exporter)), (Some(&statements), Some(&exporter))]
            {
                let subscriber = subscriber(&log, statements, exporter).expect("the filter can be read");
                assert_eq!(subscriber.max_level_hint(), Some(level), "{filter}");
            }
        }
        exporter.stop().await;
    }

    #[test]
    fn spans_of_calls_are_not_made_where_calls_are_not_traced() {
        let span = || tracing::info_span!(target: CALLS, "lane.ask");
        let metadata = tracing::subscriber::with_default(tracing_subscriber::registry(), || span().metadata());
        for filter in ["warn", "info", "debug"] {
            for statements in [None, Some(&StatementMetrics::default())] {
                let log = LogSettings { log: filter.to_owned(), log_format: LogFormat::Pretty };
                let subscriber = subscriber(&log, statements, None).expect("the filter can be read");
                let interest = subscriber.register_callsite(metadata.expect("a registry wants all spans"));
                assert!(interest.is_never(), "{filter} {statements:?}");
            }
        }
    }
}
