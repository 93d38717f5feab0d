//! A verdict in sentences. None of them says that a strategy is good: nothing here can know.

use crate::assess::{Assessment, BestTrial, Question};
use crate::pbo::Overfitting;
use crate::robust::Robustness;

pub(crate) fn verdict(question: &Question, found: &Assessment) -> Vec<String> {
    let mut words = Vec::new();
    match &found.best {
        Some(best) => of_best(question, found.trials.counted, best, &mut words),
        None => words.push(format!(
            "{} trials were counted; whether the best of them is luck can't be estimated.",
            found.trials.counted
        )),
    }
    if let Some(effective) = &found.trials.effective {
        let sample = match effective.sampled < effective.trials {
            true => format!(", looked for among {}", effective.sampled),
            false => String::new(),
        };
        words.push(format!(
            "The returns of {} trials form {} clusters{sample}; other estimates of how many are independent go from {} \
             to {}.",
            effective.trials,
            effective.clusters,
            short(lowest(effective)),
            short(highest(effective))
        ));
    }
    words.extend(found.pbo.as_ref().map(of_pbo));
    words.extend(found.robust.as_ref().and_then(of_robust));
    words
}

fn others(effective: &crate::EffectiveTrials) -> impl Iterator<Item = f64> {
    let by = effective.by_correlation.map(|by| [by.kish, by.linear]);
    by.into_iter().flatten().chain([effective.participation])
}

fn lowest(effective: &crate::EffectiveTrials) -> f64 {
    others(effective).fold(f64::INFINITY, f64::min)
}

fn highest(effective: &crate::EffectiveTrials) -> f64 {
    others(effective).fold(0.0, f64::max)
}

fn of_best(question: &Question, counted: u64, best: &BestTrial, words: &mut Vec<String>) {
    words.push(format!(
        "Job {} has a Sharpe ratio of {} per observation over {}: PSR {} if it were the only trial, DSR {} as the best of \
         {counted}.",
        best.job,
        short(best.sharpe.ratio()),
        best.sharpe.observations(),
        short(best.psr),
        short(best.dsr),
    ));
    let up_to = match best.break_even {
        None => "any number of independent trials".to_owned(),
        Some(1) => "one trial".to_owned(),
        Some(number) => format!("{number} independent trials"),
    };
    let confidence = short(question.confidence);
    words.push(match (best.dsr >= question.confidence, best.break_even) {
        (false, Some(0)) => format!("Even as the only trial it would not reach {confidence}."),
        (false, _) => format!(
            "Luck among {counted} trials is not excluded: it reaches {confidence} as the best of {up_to} at most."
        ),
        (true, _) => format!(
            "Luck among {counted} trials is unlikely: it reaches {confidence} as the best of up to {up_to}. Costs, \
             look-ahead and trials that were not counted are not examined."
        ),
    });
    if best.dsr_null >= question.confidence && best.dsr < question.confidence {
        words.push(format!(
            "With the variance of trials without skill the DSR is {}: the parameters make the trials differ more than \
             luck does, so the verdict turns on the variance.",
            short(best.dsr_null)
        ));
    }
}

fn of_pbo(found: &Overfitting) -> String {
    let reading = match found.pbo {
        pbo if pbo <= 0.1 => "what is best in one half tends to stay above the median in the other",
        pbo if pbo <= 0.8 => {
            "no evidence either way, as trials without skill have 0.5 on average, and 0.2 to 0.8 in one sweep"
        }
        _ => "what is best in one half does worse than others in the other",
    };
    format!("The probability of backtest overfitting is {}: {reading}.", short(found.pbo))
}

fn of_robust(found: &Robustness) -> Option<String> {
    let robust = found.robust.as_ref()?;
    Some(match found.agree() {
        true => format!("Job {} is also the best with its {} neighbours.", robust.job, robust.neighbours),
        false => format!(
            "With its neighbours job {} is better: the median is {} there, and {} at job {}, whose own value is {}.",
            robust.job,
            short(robust.median),
            short(found.raw.median),
            found.raw.job,
            short(found.raw.value)
        ),
    })
}

/// Three digits that count; near 1 as many nines as there are.
fn short(value: f64) -> String {
    if value > 0.99 && value < 1.0 {
        return if value > 0.9999 { "over 0.9999".to_owned() } else { format!("{value:.4}") };
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_few_digits() {
        assert_eq!([0.123_45, 1234.0, 0.5, 1.0].map(short), ["0.123", "1230", "0.5", "1"]);
        assert_eq!([0.994_61, 0.999_999].map(short), ["0.9946", "over 0.9999"]);
    }
}
