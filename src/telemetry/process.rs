//! What the process takes of the machine, under the names that Prometheus has for it. Told on Linux only.

use prometheus_client::registry::Registry;

/// Has it read when metrics are.
pub(super) fn register(registry: &mut Registry) {
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(linux::Process));
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt::Error;
    use std::time::Duration;

    use procfs::WithCurrentSystemInfo;
    use procfs::process::LimitValue;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
    use prometheus_client::metrics::MetricType;
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;

    #[derive(Debug)]
    pub(super) struct Process;

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
            // Where /proc cannot be read nothing is told, rather than something wrong.
            let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
            let Ok(stat) = process.stat() else { return Ok(()) };
            let ticks = procfs::ticks_per_second().max(1);
            let seconds = |count: u64| Duration::from_millis(count.saturating_mul(1000) / ticks).as_secs_f64();
            let cpu = ConstCounter::new(seconds(stat.utime + stat.stime));
            let help = "Time on processors.";
            cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?)?;
            let mut gauge = |name, help, value: u64| {
                ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
            };
            gauge("process_resident_memory_bytes", "Memory in use.", stat.rss_bytes().get())?;
            gauge("process_virtual_memory_bytes", "Memory that is addressed.", stat.vsize)?;
            gauge("process_threads", "Threads.", u64::try_from(stat.num_threads).unwrap_or_default())?;
            if let Ok(open) = process.fd_count() {
                gauge("process_open_fds", "Open files, connections among them.", u64::try_from(open).unwrap_or(u64::MAX))?;
            }
            if let Ok(limits) = process.limits()
                && let LimitValue::Value(max) = limits.max_open_files.soft_limit
            {
                gauge("process_max_fds", "Files that may be open.", max)?;
            }
            if let Ok(boot) = procfs::boot_time_secs() {
                let started = ConstGauge::new(Duration::from_secs(boot).as_secs_f64() + seconds(stat.starttime));
                let help = "When the process started, in seconds since 1970.";
                started.encode(encoder.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?)?;
            }
            Ok(())
        }
    }
}
