//! How long a sweep will take and what it will cost, by how long jobs of its kind have taken and what the machines cost.

/// The label by which an agent says what an hour of its machine costs, in any currency, as long as it is the same for all.
pub const PRICE_LABEL: &str = "price-per-hour";

/// A machine that could run the jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// How many of them it runs at once, if it does nothing else.
    pub jobs: u64,
    /// What an hour of it costs, where that is known.
    pub price: Option<f64>,
}

/// What a sweep takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Jobs that run side by side at most.
    pub at_once: u64,
    /// Seconds until all are done, if nothing else ran: whole rounds of jobs that take as long as they do on average.
    pub seconds: f64,
    /// What the machines cost for as long as its jobs take them; none where no machine has a price.
    pub cost: Option<f64>,
}

/// What this label says of a price; none if it is no number of 0 or more.
pub fn price(label: &str) -> Option<f64> {
    label.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0)
}

/// What so many jobs take that need `seconds` each and of which at most `most` run at once; none if no machine can run one.
///
/// A machine's price is shared by the jobs that fit on it, and jobs spread over the machines with a price as they do over all.
pub fn estimate(jobs: u64, seconds: f64, most: Option<u64>, machines: &[Machine]) -> Option<Estimate> {
    let room: u64 = machines.iter().fold(0, |sum, machine| sum.saturating_add(machine.jobs));
    let at_once = room.min(most.unwrap_or(u64::MAX)).min(jobs);
    if at_once == 0 {
        return None;
    }
    let priced = machines.iter().filter_map(|machine| machine.price.map(|price| (price, machine.jobs)));
    let (prices, places) =
        priced.fold((0.0, 0), |(prices, places), (price, jobs)| (prices + price, places + jobs));
    let hours = jobs as f64 * seconds / 3_600.0;
    Some(Estimate {
        at_once,
        seconds: jobs.div_ceil(at_once) as f64 * seconds,
        cost: (places > 0).then(|| hours * prices / places as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_jobs_take_their_time_and_machines_their_price() {
        let two = [Machine { jobs: 4, price: Some(0.40) }, Machine { jobs: 12, price: Some(1.20) }];
        // 1,600 jobs of 36 s are 16 hours of one place, and a place costs 0.10 an hour.
        let told = estimate(1_600, 36.0, None, &two).unwrap();
        assert_eq!((told.at_once, told.seconds), (16, 3_600.0));
        assert!((told.cost.unwrap() - 1.60).abs() < 1e-9, "{told:?}");
        // The last round takes as long as a full one.
        assert_eq!(estimate(17, 10.0, None, &two).unwrap().seconds, 20.0);
        assert_eq!(estimate(3, 10.0, None, &two).unwrap().seconds, 10.0);
        // Fewer at once take longer, and cost as much.
        let slow = estimate(1_600, 36.0, Some(4), &two).unwrap();
        assert_eq!((slow.at_once, slow.seconds, slow.cost), (4, 14_400.0, told.cost));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let free = Machine { jobs: 2, price: None };
        assert_eq!(estimate(10, 1.0, None, &[]), None);
        assert_eq!(estimate(10, 1.0, None, &[Machine { jobs: 0, price: Some(1.0) }]), None);
        assert_eq!(estimate(10, 1.0, None, &[free]).unwrap().cost, None);
        // Those that have a price stand for those that have none.
        let half = [free, Machine { jobs: 2, price: Some(2.0) }];
        assert_eq!(estimate(3_600, 1.0, None, &half).unwrap().cost, Some(1.0));
        assert_eq!(
            [price("0.34"), price(" 0 "), price("-1"), price("cheap"), price("inf")],
            [Some(0.34), Some(0.0), None, None, None]
        );
    }
}
