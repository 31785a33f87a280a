//! How long statements take: measured where their spans begin and end.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::measures::{SECONDS, STATEMENTS};
use crate::telemetry::SPANS;

/// The field of a statement's span that names it.
const SUMMARY: &str = "db.query.summary";

/// How long statements take, by their names. Copies measure together.
#[derive(Debug, Clone)]
pub struct StatementMetrics(Family<Labels, Histogram, fn() -> Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    db_system_name: &'static str,
    db_query_summary: String,
}

impl Default for StatementMetrics {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(SECONDS)))
    }
}

impl StatementMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time that a statement took in the database and on the way to it and back, by the function that holds it";
        registry.register("db_client_operation_duration_seconds", help, self.0.clone());
    }

    /// The layer that measures the spans of statements.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let statements = filter_fn(|metadata| metadata.target() == STATEMENTS && metadata.is_span());
        Statements(self.clone()).with_filter(statements.with_max_level_hint(SPANS))
    }
}

struct Statements(StatementMetrics);

/// A statement that is running.
struct Running {
    started: Instant,
    duration: Histogram,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Statements {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut summary = Summary::default();
        attributes.record(&mut summary);
        let labels = Labels { db_system_name: "postgresql", db_query_summary: summary.0 };
        let running = Running { started: Instant::now(), duration: self.0.0.get_or_create_owned(&labels) };
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(running);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(Running { started, duration }) = span.extensions().get()
        {
            duration.observe(started.elapsed().as_secs_f64());
        }
    }
}

/// Takes the name of a statement out of the fields of its span.
#[derive(Default)]
struct Summary(String);

impl Visit for Summary {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == SUMMARY {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
