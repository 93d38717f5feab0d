//! A random history of loads and faults, and the proof that what must hold held. `make soak` runs it for longer.

use std::time::Duration;

use bt_tests::history::{Driver, Plan, check};

/// Settings of `make soak`; both may be missing.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_must_hold_holds_under_random_faults() {
    let seed = setting("BTCTL_SOAK_SEED").unwrap_or_else(bt_tests::history::now);
    let length = Duration::from_secs(setting("BTCTL_SOAK_SECONDS").unwrap_or(10));
    println!("seed {seed}, {} s", length.as_secs());
    let mut driver = Driver::start(Plan { seed, length, coordinators: 2, machines: 3 });
    driver.run();
    driver.come_to_rest();
    let checked = check(&driver.postgres, &driver.store(), &driver.run_logs(), &driver.seen);
    let stakes = checked.unwrap_or_else(|wrong| panic!("seed {seed}:\n{wrong}"));
    for (fault, times) in driver.seen.faults_done() {
        println!("  {fault}: {times}");
    }
    println!("{stakes}");
}
