//! The figures of an assessment in sentences. No figure is called good or bad by itself: each says what it is the chance of.

use bt_documents::{Assessment, BestTrial, Overfitting, RobustTrial};
use serde_json::{Map, Value};

use super::held_out;

/// How sure one wants to be before one says so.
const CONFIDENCE: f64 = 0.95;

pub(super) fn of(assessment: &Assessment) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(best) = &assessment.best {
        words.push(best_of(assessment, best));
        words.extend(ratio(assessment, best));
        words.extend(deflated(assessment, best));
    }
    words.extend(assessment.holdout.iter().flat_map(|holdout| held_out::words(holdout, &assessment.trials)));
    words.extend(trials(assessment));
    words.extend(assessment.pbo.as_ref().map(overfitting));
    words.extend(assessment.benchmark.as_ref().map(|found| {
        format!(
            "If no trial were better than job {}, the best would still look so much better with a probability of {} (SPA).",
            found.job,
            percent(found.p)
        )
    }));
    words.extend(assessment.robust.as_ref().map(|robust| robust_of(assessment, robust)));
    if let Some(first) = assessment.importance.first().filter(|first| first.share > 0.0) {
        words.push(format!(
            "The parameter that matters most is {}: it explains {} of the ranks.",
            first.parameter,
            percent(first.share)
        ));
    }
    words
}

fn best_of(assessment: &Assessment, best: &BestTrial) -> String {
    let by = match (&assessment.by, best.value) {
        (Some(metric), Some(value)) => format!(" by {metric}, {}", number(value)),
        _ => " by the Sharpe ratio of its returns".to_owned(),
    };
    format!("The best of this sweep is job {}{}{by}.", best.job, point(&best.parameters))
}

fn ratio(assessment: &Assessment, best: &BestTrial) -> Option<String> {
    let (sharpe, observations, psr) = (best.sharpe?, best.observations?, best.psr?);
    let a_year = best.sharpe_annual.map(|annual| format!(", {} a year", number(annual)));
    let returns = assessment.returns.as_ref();
    let dates = returns.and_then(|returns| Some((returns.first.as_ref()?, returns.last.as_ref()?)));
    let dates = dates.map(|(first, last)| format!(" from {first} to {last}"));
    Some(format!(
        "Over {observations} periods{} its Sharpe ratio is {} a period{}. If it were the only one that was tried, its true \
         ratio would be above 0 with a probability of {} (PSR).",
        dates.unwrap_or_default(),
        number(sharpe),
        a_year.unwrap_or_default(),
        percent(psr)
    ))
}

fn deflated(assessment: &Assessment, best: &BestTrial) -> Option<String> {
    let (dsr, luck) = (best.dsr?, best.luck?);
    let counted = assessment.trials.counted;
    let meaning = match dsr >= CONFIDENCE {
        true => "so luck alone seldom gives so good a best",
        false => "so luck can explain it",
    };
    Some(format!(
        "But {counted} were tried, and the best of {counted} without any skill is expected to show {} a period. The probability \
         that its true ratio is above that is {} (DSR), {meaning}.",
        number(luck),
        percent(dsr)
    ))
}

fn trials(assessment: &Assessment) -> Option<String> {
    let trials = &assessment.trials;
    assessment.best.as_ref()?.dsr?;
    let held = match trials.break_even {
        Some(0) => "It would not reach 95 % even as the only one.".to_owned(),
        Some(1) => "It would reach 95 % only if it were the only one.".to_owned(),
        Some(most) => format!("It would reach 95 % as the best of {most} independent trials at most."),
        None => "It would reach 95 % as the best of any number of trials.".to_owned(),
    };
    let elsewhere = match trials.elsewhere {
        0 => String::new(),
        elsewhere => format!(", {elsewhere} of them in other sweeps of the family"),
    };
    let clusters = trials.clusters.as_ref().map(|found| {
        format!(
            " Many trials resemble each other: they form {} clusters; were only these independent, the probability would be {}.",
            found.clusters,
            assessment.best.as_ref().and_then(|best| best.dsr_effective).map_or("unknown".into(), percent)
        )
    });
    let pruned = match trials.pruned {
        0 => String::new(),
        pruned => format!(", {pruned} of them pruned"),
    };
    Some(format!(
        "Counted were {} trials{elsewhere}{pruned}. {held}{}",
        trials.counted,
        clusters.unwrap_or_default()
    ))
}

fn overfitting(found: &Overfitting) -> String {
    let slope = match found.slope {
        Some(slope) if slope < 0.0 => ", and those that looked better did worse",
        _ => "",
    };
    format!(
        "Of {} ways to halve the time, the best of one half was below the median of the other half in {} (PBO), and lost there in \
         {}{slope}. Without skill the first figure is 50 % on average, and anything from 35 % to 65 % says little.",
        found.splits,
        percent(found.pbo),
        percent(found.probability_of_loss)
    )
}

fn robust_of(assessment: &Assessment, robust: &RobustTrial) -> String {
    let best = assessment.best.as_ref();
    if best.is_some_and(|best| best.job == robust.job) {
        return format!(
            "It is also the best together with its neighbours: their median is {}.",
            number(robust.median)
        );
    }
    let of_best = match robust.median_of_best {
        Some(median) => format!("; around the best it is {}", number(median)),
        None => "; the best has no neighbours that succeeded".to_owned(),
    };
    format!(
        "Together with its neighbours job {}{} is the best: {} itself, {} the median around it{of_best}.",
        robust.job,
        point(&robust.parameters),
        number(robust.value),
        number(robust.median)
    )
}

/// ` (fast=10, slow=50)`, of many parameters the first ones.
fn point(parameters: &Map<String, Value>) -> String {
    const SHOWN: usize = 6;
    const LONGEST: usize = 40;
    if parameters.is_empty() {
        return String::new();
    }
    let value = |value: &Value| match value {
        Value::String(text) if text.chars().count() > LONGEST => {
            text.chars().take(LONGEST).chain("...".chars()).collect()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut shown: Vec<String> =
        parameters.iter().take(SHOWN).map(|(name, given)| format!("{name}={}", value(given))).collect();
    if parameters.len() > SHOWN {
        shown.push(format!("{} more", parameters.len() - SHOWN));
    }
    format!(" ({})", shown.join(", "))
}

/// Four digits.
fn number(value: f64) -> String {
    let size = value.abs();
    match value {
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.3e}"),
        _ => {
            let places = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
            let text = format!("{value:.places$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

/// Whole percents, and more digits near both ends.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent > 99.99 && percent < 100.0 => "more than 99.99 %".to_owned(),
        _ if percent < 0.01 && percent > 0.0 => "less than 0.01 %".to_owned(),
        _ if (1.0..=99.0).contains(&percent) || percent == 0.0 || percent == 100.0 => {
            format!("{percent:.0} %")
        }
        _ => format!("{percent:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.052_344, "0.05234"),
            (-1.5, "-1.5"),
            (1234.56, "1235"),
            (1e-7, "1.000e-7"),
        ] {
            assert_eq!(number(value), text);
        }
        for (share, text) in [
            (0.5, "50 %"),
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.996, "99.60 %"),
            (0.99999, "more than 99.99 %"),
            (0.00005, "less than 0.01 %"),
            (0.004, "0.40 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
