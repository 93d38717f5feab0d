//! How long a sweep of noise takes to judge: `speed TRIALS OBSERVATIONS BLOCKS` prints seconds for each part as JSON.
//! bench/statistics.py runs it beside numpy.

use std::io::{self, Write};
use std::time::Instant;

use bt_statistics::{Collector, Metric, Random, Wanted, effective_trials, overfitting};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|value| value.parse::<usize>());
    let mut next =
        || given.next().ok_or("speed TRIALS OBSERVATIONS BLOCKS")?.map_err(|error| error.to_string());
    let (trials, observations, blocks) = (next()?, next()?, next()?);
    let mut collector = Collector::new(observations, Wanted { blocks: Some(blocks), ..Wanted::default() })?;
    // Its numbers are cheap, so that only the collector is measured.
    let mut random = Random::new(1);
    let mut seconds = 0.0;
    for trial in 0..trials {
        let returns: Vec<f32> = (0..observations).map(|_| (random.uniform() - 0.5) as f32).collect();
        let began = Instant::now();
        collector.push(trial as u64, &returns)?;
        seconds += began.elapsed().as_secs_f64();
    }
    let collected = collector.finish();
    let began = Instant::now();
    let pbo = overfitting(collected.blocks()?, Metric::Sharpe)?;
    let pbo_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let effective = effective_trials(&collected)?;
    writeln!(
        io::stdout(),
        r#"{{"collect": {seconds}, "pbo": {pbo_seconds}, "effective": {}, "splits": {}, "clusters": {}}}"#,
        began.elapsed().as_secs_f64(),
        pbo.splits.len(),
        effective.clusters
    )?;
    Ok(())
}
