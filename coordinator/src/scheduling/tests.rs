use super::*;

const fn size(cpus: u64, gib: u64) -> Resources {
    Resources { cpu_millis: cpus * 1000, memory_bytes: gib << 30, gpus: 0 }
}

fn agent(cpus: u64, gib: u64) -> Offer {
    Offer { capacity: size(cpus, gib), free: size(cpus, gib), ..Offer::default() }
}

fn sweep(owner: &str, priority: i32, running: u64) -> Candidate {
    Candidate {
        sweep: SweepId::random(),
        owner: owner.into(),
        priority,
        needs: size(1, 1),
        labels: BTreeMap::new(),
        volumes: BTreeMap::new(),
        running,
    }
}

/// Jobs planned for each sweep, in the order of the sweeps.
fn planned(offer: &Offer, sweeps: &[Candidate], limit: u32) -> Vec<u32> {
    let mut owners = HashMap::new();
    for sweep in sweeps {
        *owners.entry(sweep.owner.clone()).or_default() += sweep.running;
    }
    let plan = plan(&[("one", offer.clone())], sweeps, &owners, limit);
    let plan: HashMap<_, _> = plan.into_iter().map(|(_, sweep, jobs)| (sweep, jobs)).collect();
    let of = |sweep: &Candidate| plan.get(&sweep.sweep).copied().unwrap_or(0);
    sweeps.iter().map(of).collect()
}

#[test]
fn work_spreads_over_agents() {
    let sweeps = [sweep("ann", 0, 0)];
    let agents = [("a", agent(4, 8)), ("b", agent(2, 8)), ("c", agent(2, 8))];
    let mut plan = plan(&agents, &sweeps, &HashMap::new(), 5);
    plan.sort_unstable_by_key(|(agent, ..)| *agent);
    let jobs: Vec<_> = plan.into_iter().map(|(agent, _, jobs)| (agent, jobs)).collect();
    assert_eq!(jobs, [("a", 3), ("b", 1), ("c", 1)]);
}

#[test]
fn no_more_is_planned_than_fits() {
    let sweeps = [sweep("ann", 0, 0)];
    assert_eq!(planned(&agent(3, 8), &sweeps, 100), [3]);
    assert_eq!(planned(&agent(8, 2), &sweeps, 100), [2]);
    assert_eq!(planned(&agent(8, 8), &sweeps, 5), [5]);
    assert_eq!(planned(&agent(0, 8), &sweeps, 5), [0]);
}

#[test]
fn priority_comes_first() {
    let sweeps = [sweep("ann", 5, 9), sweep("bob", 0, 0)];
    assert_eq!(planned(&agent(4, 8), &sweeps, 100), [4, 0]);
}

#[test]
fn owners_take_turns_then_their_sweeps() {
    let sweeps = [sweep("ann", 0, 0), sweep("ann", 0, 0), sweep("bob", 0, 0)];
    assert_eq!(planned(&agent(4, 8), &sweeps, 100), [1, 1, 2]);
    let behind = [sweep("ann", 0, 3), sweep("bob", 0, 0)];
    assert_eq!(planned(&agent(5, 8), &behind, 100), [1, 4]);
}

#[test]
fn a_large_job_does_not_keep_a_small_one_from_what_is_left() {
    let mut large = sweep("ann", 5, 0);
    large.needs = size(4, 1);
    let sweeps = [large, sweep("bob", 0, 0)];
    assert_eq!(planned(&agent(6, 8), &sweeps, 100), [1, 2]);
}

#[test]
fn a_misfit_says_what_is_missing() {
    let check = |offer: &Offer, sweep: &Candidate, expected: &str| {
        let told = misfit(offer, sweep).map(|misfit| misfit.to_string());
        assert_eq!(told.as_deref(), Some(expected));
    };
    let mut wants = sweep("ann", 0, 0);
    wants.labels.insert("pool".into(), "spot".into());
    let mut offer = agent(2, 4);
    check(&offer, &wants, "it has no label pool=spot");
    offer.labels.insert("pool".into(), "own".into());
    check(&offer, &wants, "its label pool is own, not spot");

    let mut wants = sweep("ann", 0, 0);
    wants.volumes.insert("prices".into(), false);
    check(&offer, &wants, "it offers no volume prices");
    offer.volumes.insert("prices".into(), true);
    check(&offer, &wants, "it offers volume prices read-only, and the job wants to write to it");

    let mut wants = sweep("ann", 0, 0);
    wants.needs = size(4, 1);
    check(&offer, &wants, "a job needs 4 cpus and 1 GiB, and it has 2 cpus and 4 GiB in all");
    wants.needs = size(2, 1);
    offer.free = Resources { cpu_millis: 500, memory_bytes: 1 << 30, gpus: 0 };
    check(&offer, &wants, "it is busy: a job needs 2 cpus and 1 GiB, and 0.5 cpus and 1 GiB is free");
}
