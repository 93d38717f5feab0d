//! How long a sweep of noise takes to judge: `speed TRIALS OBSERVATIONS BLOCKS` prints seconds for each part as JSON.
//! bench/judgements.py runs it beside numpy.

use std::io::{self, Write};
use std::time::Instant;

use bt_statistics::{Collector, Metric, Random, Wanted, effective_trials, overfitting};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|value| value.parse::<usize>());
    let mut next =
        || given.next().ok_or("speed TRIALS OBSERVATIONS BLOCKS")?.map_err(|error| error.to_string());
    let (trials, observations, blocks) = (next()?, next()?, next()?);
    let mut collector = Collector::new(observations, Wanted { blocks: Some(blocks), ..Wanted::default() })?;
    let mut random = Random::new(1);
    let mut collect = 0.0;
    for trial in 0..trials {
        let returns: Vec<f32> = (0..observations).map(|_| (random.uniform() - 0.5) as f32).collect();
        let began = Instant::now();
        collector.push(trial as u64, &returns)?;
        collect += began.elapsed().as_secs_f64();
    }
    let collected = collector.finish();
    let began = Instant::now();
    let pbo = overfitting(collected.blocks()?, Metric::Sharpe)?.pbo;
    let choose = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let clusters = effective_trials(&collected)?.clusters;
    let effective = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: f64 = peak.map_or(Ok(0.0), str::parse)?;
    writeln!(
        io::stdout(),
        r#"{{"pbo": {pbo}, "clusters": {clusters}, "collect_seconds": {collect}, "pbo_seconds": {choose},
  "effective_seconds": {effective}, "peak_mib": {}}}"#,
        peak / 1024.0
    )?;
    Ok(())
}
