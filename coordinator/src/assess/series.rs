//! The returns of a sweep's jobs, joined by their times and handed on one job at a time.

use std::collections::HashMap;

use bt_documents::AssessedReturns;
use bt_model::id::SweepId;
use bt_model::returns::{are_dates, shown};
use bt_statistics::{Blocks, Collected, Collector, Wanted};

use super::Error;
use crate::queue::{Calendar, CalendarId, JobReturns, Queue};

/// Different calendars of a sweep that are looked at, those of most jobs first.
const MOST_CALENDARS: u32 = 2_000;
/// A job whose times are fewer than this share of the usual ones is left out: it would take these away from all others.
const LEAST_SHARE: f64 = 0.9;
/// Results that are read at once: some megabytes of returns.
const PAGE: u32 = 200;
/// Blocks for the probability of overfitting, where no number is asked for: the most that leaves each enough periods.
const BLOCKS: [usize; 5] = [16, 12, 10, 8, 6];
const LEAST_OF_BLOCK: usize = 10;
/// Returns that are held at once for a benchmark, 8 bytes each.
const MOST_HELD: usize = 25_000_000;
/// Seconds of a year of 365.25 days.
const YEAR: f64 = 31_557_600.0;

/// What was read of the returns of a sweep.
pub(super) struct Series {
    pub(super) told: AssessedReturns,
    pub(super) collected: Collected,
    /// The blocks that were summed up; none: there are too few periods.
    pub(super) blocks: Option<usize>,
    /// What each trial returned more than the benchmark, or why that is not known; none: no benchmark was named.
    pub(super) against: Option<Result<Vec<Vec<f64>>, String>>,
}

/// The times that jobs share, and where in each calendar they stand.
struct Common {
    times: Vec<i64>,
    places: HashMap<CalendarId, Vec<usize>>,
}

impl Common {
    /// What all calendars have that have most of the usual one.
    fn of(calendars: &[Calendar]) -> Option<Self> {
        let usual = calendars.first()?;
        let fits = |calendar: &&Calendar| {
            let shared = usual.times.iter().filter(|time| calendar.times.binary_search(time).is_ok()).count();
            shared as f64 >= LEAST_SHARE * usual.times.len() as f64
        };
        let fitting: Vec<&Calendar> = calendars.iter().filter(fits).collect();
        let is_in_all =
            |time: &&i64| fitting.iter().all(|calendar| calendar.times.binary_search(time).is_ok());
        let times: Vec<i64> = usual.times.iter().filter(is_in_all).copied().collect();
        let places = fitting.iter().map(|calendar| {
            let place = |time| calendar.times.binary_search(time).ok();
            (calendar.id, times.iter().filter_map(place).collect())
        });
        let places = places.collect();
        Some(Self { times, places })
    }

    /// The returns at the common times; none of a calendar that fits badly.
    fn take(&self, calendar: &CalendarId, returns: &[f64]) -> Option<Vec<f64>> {
        let places = self.places.get(calendar)?;
        places.iter().map(|place| returns.get(*place).copied()).collect()
    }
}

/// Reads the returns of all jobs. None: no job has any.
pub(super) async fn read(
    queue: &Queue,
    sweep: SweepId,
    blocks: Option<u32>,
    benchmark: Option<u32>,
) -> Result<Option<Series>, Error> {
    let calendars = queue.calendars(sweep, MOST_CALENDARS).await?;
    let Some(common) = Common::of(&calendars) else { return Ok(None) };
    let blocks = number_of_blocks(common.times.len(), blocks)?;
    let refused = |error: bt_statistics::Error| Error::Refused(error.to_string());
    if common.times.len() < 2 {
        return Ok(None);
    }
    let wanted = Wanted { blocks, ..Wanted::default() };
    let mut collector = Collector::new(common.times.len(), wanted).map_err(refused)?;
    let mut told = AssessedReturns {
        periods: common.times.len() as u64,
        periods_per_year: per_year(&common.times),
        ..AssessedReturns::default()
    };
    if are_dates(&common.times) {
        told.first = common.times.first().map(|time| shown(*time));
        told.last = common.times.last().map(|time| shown(*time));
    }
    let mut against = match benchmark {
        Some(job) => Some(Against::of(queue, sweep, job, &common).await?),
        None => None,
    };
    let mut after = None;
    loop {
        let page = queue.returns(sweep, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|job| job.job);
        for JobReturns { job, returns } in page {
            let Some((calendar, returns)) = returns else {
                told.without += 1;
                continue;
            };
            let Some(mut returns) = common.take(&calendar, &returns) else {
                told.left_out += 1;
                continue;
            };
            for value in returns.iter_mut().filter(|value| value.is_nan()) {
                told.gaps += 1;
                *value = 0.0;
            }
            // What can't be summed up, such as a return of 1e200, is no trial that others can be compared with.
            match collector.push(u64::from(job), &returns) {
                Ok(_) => told.trials += 1,
                Err(_) => told.left_out += 1,
            }
            if let Some(against) = &mut against {
                against.take(job, &returns);
            }
        }
        if is_last {
            break;
        }
    }
    let collected = collector.finish();
    let against = against.map(Against::finish);
    Ok((told.trials > 0).then_some(Series { told, collected, blocks, against }))
}

/// The trials beside a benchmark.
struct Against {
    job: u32,
    benchmark: Option<Vec<f64>>,
    differences: Vec<Vec<f64>>,
    is_too_large: bool,
}

impl Against {
    async fn of(queue: &Queue, sweep: SweepId, job: u32, common: &Common) -> Result<Self, Error> {
        let result =
            queue.returns(sweep, job.checked_sub(1), 1).await?.pop().filter(|found| found.job == job);
        let returns = result.and_then(|result| result.returns);
        let mut benchmark = returns.and_then(|(calendar, returns)| common.take(&calendar, &returns));
        for value in benchmark.iter_mut().flatten().filter(|value| value.is_nan()) {
            *value = 0.0;
        }
        Ok(Self { job, benchmark, differences: Vec::new(), is_too_large: false })
    }

    fn take(&mut self, job: u32, returns: &[f64]) {
        let Some(benchmark) = self.benchmark.as_ref().filter(|_| job != self.job) else { return };
        self.is_too_large |= (self.differences.len() + 1) * returns.len() > MOST_HELD;
        if self.is_too_large {
            self.differences.clear();
            return;
        }
        self.differences
            .push(returns.iter().zip(benchmark).map(|(trial, benchmark)| trial - benchmark).collect());
    }

    fn finish(self) -> Result<Vec<Vec<f64>>, String> {
        match self {
            Self { job, benchmark: None, .. } => {
                Err(format!("job {job} has not reported returns, or at other times than most jobs"))
            }
            Self { is_too_large: true, .. } => {
                Err(format!("the trials have more than {MOST_HELD} returns together, the limit"))
            }
            Self { differences, .. } => Ok(differences),
        }
    }
}

fn number_of_blocks(periods: usize, asked: Option<u32>) -> Result<Option<usize>, Error> {
    match asked {
        Some(blocks) if periods < 2 * blocks as usize => Err(Error::Refused(format!(
            "the trials have {periods} periods in common, too few for {blocks} blocks; {} are needed",
            2 * u64::from(blocks)
        ))),
        Some(blocks) => {
            let checked = Blocks::new(periods, blocks as usize);
            checked.map(|_| Some(blocks as usize)).map_err(|error| Error::Refused(error.to_string()))
        }
        None => Ok(BLOCKS.into_iter().find(|blocks| periods >= blocks * LEAST_OF_BLOCK)),
    }
}

/// Periods in a year by the dates of the first and the last one.
fn per_year(times: &[i64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let years = (last - first) as f64 / YEAR;
    (are_dates(times) && years > 0.0).then(|| (times.len() - 1) as f64 / years)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(id: u8, times: impl IntoIterator<Item = i64>) -> Calendar {
        Calendar { id: [id; 16], times: times.into_iter().collect() }
    }

    #[test]
    fn jobs_are_joined_by_the_times_that_most_of_them_have() {
        // One that lacks a day takes it from all; one that has few days is left out.
        let calendars = [calendar(1, 0..20), calendar(2, 1..25), calendar(3, 0..5)];
        let common = Common::of(&calendars).unwrap();
        assert_eq!(common.times, (1..20).collect::<Vec<_>>());
        let returns: Vec<f64> = (0..24).map(f64::from).collect();
        let taken = common.take(&[2; 16], &returns).unwrap();
        assert_eq!(taken, (0..19).map(f64::from).collect::<Vec<_>>());
        assert_eq!(common.take(&[1; 16], &returns).unwrap()[0], 1.0);
        assert_eq!(common.take(&[3; 16], &returns), None);
        assert!(Common::of(&[]).is_none());
    }

    #[test]
    fn a_year_has_as_many_periods_as_its_dates_say() {
        let day = 86_400;
        let start = 1_104_537_600; // 2005-01-01
        let daily: Vec<i64> = (0..=365 * 4 + 1).map(|number| start + number * day).collect();
        let year = per_year(&daily).unwrap();
        assert!((year - 365.25).abs() < 0.01, "{year}");
        assert_eq!(per_year(&(0..1000).collect::<Vec<_>>()), None);
        assert_eq!(per_year(&[start]), None);
    }

    #[test]
    fn there_are_as_many_blocks_as_leave_each_enough() {
        for (periods, blocks) in
            [(2_520, Some(16)), (160, Some(16)), (159, Some(12)), (60, Some(6)), (59, None)]
        {
            assert_eq!(number_of_blocks(periods, None).unwrap(), blocks, "{periods}");
        }
        assert_eq!(number_of_blocks(100, Some(4)).unwrap(), Some(4));
        assert!(number_of_blocks(100, Some(5)).is_err(), "an odd number has no halves");
        assert!(number_of_blocks(5, Some(4)).is_err());
    }
}
