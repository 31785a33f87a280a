//! What operators are told: metrics on an address of their own, and traces.

use clap::Args;

/// The address of metrics and probes when no setting says otherwise.
const DEFAULT_ADMIN_LISTEN: &str = "127.0.0.1:9464";

/// What operators are told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetrySettings {
    /// Address and port of /metrics, /livez and /readyz; port 0 takes a free one and logs it, `off` none. Default: 127.0.0.1:9464, and none where that is taken
    #[arg(long, env = "DESKLEDGER_ADMIN_LISTEN")]
    pub admin_listen: Option<String>,
    /// URL of an OpenTelemetry collector that takes traces over gRPC (OTLP), such as <http://127.0.0.1:4317>. Default: no traces
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Share of calls to trace, 0 to 1, of those that bring no trace of their own; a caller's decision goes first
    #[arg(long, env = "DESKLEDGER_TRACE_RATIO", default_value_t = 0.01, value_parser = ratio)]
    pub trace_ratio: f64,
}

/// Where metrics and probes are to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListen {
    /// Nowhere.
    Off,
    /// There, or the service does not start.
    At(String),
    /// There, unless another process is there already.
    IfFree(String),
}

impl TelemetrySettings {
    /// Where metrics and probes are to be served.
    #[must_use]
    pub fn admin(&self) -> AdminListen {
        match self.admin_listen.as_deref().map(str::trim) {
            None => AdminListen::IfFree(DEFAULT_ADMIN_LISTEN.to_owned()),
            Some("" | "off") => AdminListen::Off,
            Some(address) => AdminListen::At(address.to_owned()),
        }
    }

    /// The collector of traces; an empty setting is none.
    #[must_use]
    pub fn collector(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text} is not in 0..=1"))
}
