use super::*;

const fn size(cpus: u64, gib: u64) -> Resources {
    Resources { cpu_millis: cpus * 1000, memory_bytes: gib << 30, gpus: 0, disk_bytes: 0, jobs: 0 }
}

fn agent(cpus: u64, gib: u64) -> Seat {
    let offer = Offer { capacity: size(cpus, gib), protocol: 2, ..Offer::default() };
    Seat {
        free: offer.capacity,
        offer: Arc::new(offer),
        ran: Arc::default(),
        refuses: HashSet::new(),
        kept_for: None,
    }
}

pub(super) fn sweep(owner: &str, priority: i32, running: u32) -> Candidate {
    Candidate {
        sweep: SweepId::random(),
        name: "s".into(),
        jobs: 1_000_000,
        owner: owner.into(),
        priority,
        needs: size(1, 1),
        labels: BTreeMap::new(),
        volumes: BTreeMap::new(),
        limits: BTreeMap::new(),
        max_parallel: None,
        canary: None,
        image_pin: None,
        containers: None,
        batch: None,
        is_pinned: false,
        is_laid: false,
        grows: false,
        grown: None,
        is_cut: false,
        has_quota: false,
        secrets: BTreeMap::new(),
        timeout: None,
        preempts: false,
        running,
        queued: 1_000_000,
    }
}

fn running(sweeps: &[Candidate]) -> State {
    let mut state = State::default();
    for sweep in sweeps {
        *state.owners.entry(sweep.owner.clone()).or_default() += share(sweep.running.into(), 0.0);
    }
    state
}

/// Jobs planned for each sweep, in the order of the sweeps.
fn planned(seat: &Seat, sweeps: &[Candidate], limit: u32) -> Vec<u32> {
    let plan = plan(vec![seat.clone()], sweeps, &running(sweeps), limit);
    let of = |index: usize| plan.claims.get(&index).map_or(0, |wants| wants.values().sum());
    (0..sweeps.len()).map(of).collect()
}

#[test]
fn work_spreads_over_agents() {
    let sweeps = [sweep("ann", 0, 0)];
    let plan = plan(vec![agent(4, 8), agent(2, 8), agent(2, 8)], &sweeps, &State::default(), 5);
    assert_eq!(plan.claims[&0], BTreeMap::from([(0, 3), (1, 1), (2, 1)]));
    assert_eq!(plan.jobs, 5);
}

#[test]
fn an_agent_that_has_the_image_is_preferred() {
    let mut wants = sweep("ann", 0, 0);
    wants.image_pin = Some("sha256:1".into());
    let mut has = agent(2, 8);
    let offer = Offer { images: HashSet::from(["sha256:1".to_owned()]), ..(*has.offer).clone() };
    has.offer = Arc::new(offer);
    let seats = [agent(8, 8), has, agent(8, 8)];
    let plan =
        |jobs| plan(seats.to_vec(), std::slice::from_ref(&wants), &State::default(), jobs).claims.remove(&0);
    assert_eq!(plan(2), Some(BTreeMap::from([(1, 2)])));
    assert_eq!(plan(3).map(|wants| wants[&1]), Some(2), "but work is not held back for it");
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
fn no_more_is_planned_than_the_sweep_allows() {
    let check = |change: fn(&mut Candidate), expected: u32| {
        let mut sweep = sweep("ann", 0, 2);
        change(&mut sweep);
        assert_eq!(planned(&agent(16, 16), &[sweep], 100), [expected]);
    };
    check(|sweep| sweep.queued = 3, 3);
    check(|sweep| sweep.max_parallel = Some(5), 3);
    check(|sweep| sweep.max_parallel = Some(1), 0);
    check(|sweep| sweep.canary = Some(4), 4);
}

#[test]
fn limits_are_shared_by_all_sweeps() {
    let limited = || {
        let mut sweep = sweep("ann", 0, 0);
        sweep.limits.insert("nas-io".into(), 2);
        sweep
    };
    let sweeps = [limited(), limited(), sweep("ann", -1, 0)];
    let mut state = State::default();
    let of = |plan: &Plan, index| plan.claims.get(&index).map_or(0, |wants| wants.values().sum::<u32>());
    let unset = plan(vec![agent(8, 8)], &sweeps, &state, 100);
    assert_eq!([of(&unset, 0), of(&unset, 1), of(&unset, 2)], [0, 0, 8]);
    state.limits.insert("nas-io".into(), 7);
    let set = plan(vec![agent(8, 8)], &sweeps, &state, 100);
    assert_eq!([of(&set, 0), of(&set, 1), of(&set, 2)], [2, 1, 5]);
}

#[test]
fn a_batch_takes_the_place_of_one_job() {
    let check = |change: fn(&mut Candidate), seat: Seat, expected: u32| {
        let mut sweep = sweep("ann", 0, 0);
        sweep.batch = Some(50);
        change(&mut sweep);
        let mut state = State::default();
        state.limits.insert("nas".into(), 60);
        let plan = plan(vec![seat], &[sweep], &state, 1000);
        assert_eq!(plan.claims.get(&0).map_or(0, |wants| wants.values().sum()), expected);
    };
    check(|_| {}, agent(3, 8), 150);
    check(|sweep| sweep.queued = 120, agent(3, 8), 120);
    check(|sweep| sweep.max_parallel = Some(70), agent(3, 8), 70);
    check(|sweep| sweep.limits.extend([("nas".into(), 2)]), agent(3, 8), 30);
    check(|sweep| sweep.canary = Some(5), agent(3, 8), 5);
    // The last one is planned whole.
    check(|sweep| sweep.batch = Some(600), agent(8, 8), 1200);
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
fn who_had_much_lately_comes_after_who_had_little() {
    let sweeps = [sweep("ann", 0, 0), sweep("bob", 0, 0)];
    let mut state = State::default();
    state.owners.insert("ann".to_owned(), share(0, 3.5));
    let of = |plan: Plan| [0, 1].map(|sweep| plan.claims.get(&sweep).map_or(0, |wants| wants.values().sum()));
    assert_eq!(of(plan(vec![agent(3, 8)], &sweeps, &state, 100)), [0, 3]);
    assert_eq!(of(plan(vec![agent(8, 8)], &sweeps, &state, 100)), [2, 6]);
    // A higher priority comes first all the same.
    let urgent = [sweep("ann", 1, 0), sweep("bob", 0, 0)];
    assert_eq!(of(plan(vec![agent(3, 8)], &urgent, &state, 100)), [3, 0]);
}

#[test]
fn a_large_job_does_not_keep_a_small_one_from_what_is_left() {
    let mut large = sweep("ann", 5, 0);
    large.needs = size(4, 1);
    let sweeps = [large, sweep("bob", 0, 0)];
    assert_eq!(planned(&agent(6, 8), &sweeps, 100), [1, 2]);
}

#[test]
fn a_large_job_that_has_waited_long_gets_an_agent_to_wait_for() {
    let mut large = sweep("ann", 0, 0);
    large.needs = size(4, 1);
    let sweeps = [large, sweep("bob", 0, 0)];
    let mut busy = agent(4, 8);
    busy.free = size(3, 8);
    let seats = [busy, agent(2, 8)];
    let mut state = State::default();
    let before = plan(seats.to_vec(), &sweeps, &state, 100);
    assert_eq!(before.claims[&1], BTreeMap::from([(0, 3), (1, 2)]));
    assert_eq!(before.waiting[0], sweeps[0].sweep);
    state.starved.insert(sweeps[0].sweep);
    let after = plan(seats.to_vec(), &sweeps, &state, 100);
    assert_eq!(after.claims[&1], BTreeMap::from([(1, 2)]));
}

#[test]
fn a_misfit_says_what_is_missing() {
    let check = |offer: &Offer, free: Resources, sweep: &Candidate, expected: &str| {
        let told = misfit(offer, &free, sweep).map(|misfit| misfit.to_string());
        assert_eq!(told.as_deref(), Some(expected));
    };
    let mut wants = sweep("ann", 0, 0);
    wants.labels.insert("pool".into(), "spot".into());
    let mut offer = Offer { capacity: size(2, 4), ..Offer::default() };
    let free = offer.capacity;
    check(&offer, free, &wants, "it has no label pool=spot");
    offer.labels.insert("pool".into(), "own".into());
    check(&offer, free, &wants, "its label pool is own, not spot");

    let mut wants = sweep("ann", 0, 0);
    wants.volumes.insert("prices".into(), false);
    check(&offer, free, &wants, "it offers no volume prices");
    offer.volumes.insert("prices".into(), true);
    check(&offer, free, &wants, "it offers volume prices read-only, and the job wants to write to it");

    let mut wants = sweep("ann", 0, 0);
    wants.batch = Some(1);
    offer.protocol = 1;
    let too_old = "it is too old: it speaks version 1 of the agents' protocol, and these jobs need version 2; upgrade it";
    check(&offer, free, &wants, too_old);
    (wants.batch, wants.is_cut) = (None, true);
    check(&offer, free, &wants, too_old);
    offer.protocol = 2;
    assert_eq!(misfit(&offer, &free, &wants), None);

    let mut wants = sweep("ann", 0, 0);
    wants.needs = size(4, 1);
    check(&offer, free, &wants, "a job needs 4 cpus and 1 GiB, and it has 2 cpus and 4 GiB in all");
    wants.needs = size(2, 1);
    let free = Resources { cpu_millis: 500, ..size(0, 1) };
    check(&offer, free, &wants, "it is busy: a job needs 2 cpus and 1 GiB, and 0.5 cpus and 1 GiB is free");
}
