//! What breaks: each kind of fault, how it is done, and how it is healed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Copied, Driver, LEASE};
use crate::history::now;
use crate::wait_until;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    Killed,
    Stopped,
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ail(Ailment),
    Copy,
    KillCoordinator,
    FreezeCoordinator,
    KillPostgres,
    FreezeBackend,
    ReadOnly,
    CutConnections,
    SilentClients,
    StoppedReaders,
}

/// What can be broken, in the order in which each is done at least once.
pub(super) const KINDS: [Kind; 12] = [
    Kind::Ail(Ailment::Killed),
    Kind::FreezeCoordinator,
    Kind::SilentClients,
    Kind::Ail(Ailment::Stopped),
    Kind::FreezeBackend,
    Kind::KillCoordinator,
    Kind::ReadOnly,
    Kind::Copy,
    Kind::Ail(Ailment::Cut),
    Kind::StoppedReaders,
    Kind::CutConnections,
    Kind::KillPostgres,
];

/// Clients that fall silent together: more than a coordinator has sessions with Postgres.
const SILENT: u32 = 20;

impl Driver {
    pub(super) fn break_something(&mut self) {
        let kind = match self.due.first().copied() {
            Some(kind) if self.random.once_in(4) => kind,
            Some(_) => return,
            None => match self.random.below(60) {
                at @ 0..12 => KINDS[at as usize],
                12 | 13 => Kind::Ail(Ailment::Killed),
                _ => return,
            },
        };
        let done = match kind {
            Kind::Ail(ailment) => self.ail(ailment),
            Kind::Copy => self.copy_machine(),
            Kind::KillCoordinator => self.restart_coordinator(),
            Kind::FreezeCoordinator => self.freeze_coordinator(),
            Kind::KillPostgres => self.restart_postgres(),
            Kind::FreezeBackend => self.freeze_backend(),
            Kind::ReadOnly => self.spell_read_only(),
            Kind::CutConnections => self.cut_connections(),
            Kind::SilentClients => self.silent_clients(),
            Kind::StoppedReaders => self.stopped_readers(),
        };
        if done {
            self.due.retain(|due| *due != kind);
        }
    }

    fn ail(&mut self, ailment: Ailment) -> bool {
        let number = self.random.below(self.machines.len() as u64) as usize;
        // For less than a lease, or for more.
        let millis = 200 + self.random.below(2 * LEASE);
        let machine = &mut self.machines[number];
        if machine.recovers.is_some() {
            return false;
        }
        let Some(process) = &mut machine.process else { return false };
        match ailment {
            Ailment::Killed => {
                process.kill();
                self.seen.agent_kills += 1;
            }
            Ailment::Stopped => {
                process.signal("STOP");
                self.seen.agent_stops += 1;
            }
            Ailment::Cut => {
                machine.proxy.cut();
                self.seen.cuts += 1;
            }
        }
        machine.recovers = Some((Instant::now() + Duration::from_millis(millis), now(), ailment));
        true
    }

    /// Another process begins as the same agents, as where a virtual machine's image was taken of a running one.
    fn copy_machine(&mut self) -> bool {
        let number = self.random.below(self.machines.len() as u64) as usize;
        let ends = Instant::now() + Duration::from_millis(1_000 + self.random.below(2 * LEASE));
        if self.machines[number].copy.is_some() {
            return false;
        }
        self.seen.copies += 1;
        let name = &self.machines[number].name;
        let [from, to] =
            [name.clone(), format!("{name}-copy{}", self.seen.copies)].map(|name| self.dir.path().join(name));
        // Files that go while it copies are no matter.
        let _ = Command::new("cp").arg("-r").args([&from, &to]).stderr(Stdio::null()).status();
        let (since, [_, log]) = (now(), self.run_logs());
        let process = self.start_agents(number, &to, &log);
        self.machines[number].copy = Some(Copied { process, ends, since });
        true
    }

    fn end_copies(&mut self, all: bool) {
        for machine in &mut self.machines {
            if let Some(mut copy) = machine.copy.take_if(|copy| all || copy.ends <= Instant::now()) {
                copy.process.kill();
                self.seen.faults.entry(machine.name.clone()).or_default().push((copy.since, now()));
            }
        }
    }

    /// Starts agents again that ended by themselves, as a service manager would: a copy of them had taken their place.
    fn restart_ended(&mut self) {
        for number in 0..self.machines.len() {
            let machine = &mut self.machines[number];
            let has_ended = machine.process.as_mut().is_some_and(|process| !process.is_running());
            if machine.recovers.is_none() && has_ended {
                let name = machine.name.clone();
                self.start_machine(number);
                self.seen.faults.entry(name).or_default().push((now(), now()));
            }
        }
    }

    pub(super) fn heal(&mut self, all: bool) {
        self.end_copies(all);
        self.restart_ended();
        for number in 0..self.machines.len() {
            let machine = &mut self.machines[number];
            let Some((due, since, ailment)) = machine.recovers else { continue };
            if !all && due > Instant::now() {
                continue;
            }
            machine.recovers = None;
            let name = machine.name.clone();
            match ailment {
                Ailment::Killed => self.start_machine(number),
                Ailment::Stopped => {
                    if let Some(process) = &machine.process {
                        process.signal("CONT");
                    }
                }
                Ailment::Cut => machine.proxy.mend(),
            }
            self.seen.faults.entry(name).or_default().push((since, now()));
        }
    }

    fn restart_coordinator(&mut self) -> bool {
        let number = self.some_coordinator();
        if let Some(process) = &mut self.coordinators[number].1 {
            process.kill();
        }
        self.seen.coordinator_kills += 1;
        let since = now();
        std::thread::park_timeout(Duration::from_millis(self.random.below(1_000)));
        self.start_coordinator(number);
        self.seen.outages.push((since, now()));
        true
    }

    /// For less than a lease, or for more: a paused machine.
    fn freeze_coordinator(&mut self) -> bool {
        let number = self.some_coordinator();
        let Some(process) = &self.coordinators[number].1 else { return false };
        let since = now();
        process.signal("STOP");
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(2 * LEASE)));
        process.signal("CONT");
        self.seen.coordinators_frozen += 1;
        self.seen.outages.push((since, now()));
        true
    }

    fn restart_postgres(&mut self) -> bool {
        self.postgres.kill();
        self.seen.postgres_kills += 1;
        let since = now();
        std::thread::park_timeout(Duration::from_millis(self.random.below(1_500)));
        self.postgres.start_again();
        self.seen.outages.push((since, now()));
        true
    }

    /// One of a coordinator's sessions stands still, with all that it holds. Rather one that is at work.
    fn freeze_backend(&mut self) -> bool {
        let sql =
            "select pid from pg_stat_activity where application_name = 'btctl' and pid <> pg_backend_pid()
            order by state = 'idle', random() limit 1";
        let Some(pid) = self.postgres.query(sql).ok().and_then(|rows| rows.first().cloned()) else {
            return false;
        };
        let signal =
            |signal: &str| Command::new("kill").args([signal, &pid]).status().is_ok_and(|s| s.success());
        let since = now();
        if !signal("-STOP") {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(LEASE)));
        signal("-CONT");
        self.seen.backends_frozen += 1;
        self.seen.outages.push((since, now()));
        true
    }

    /// Sessions that are opened meanwhile can never write, also afterwards.
    fn spell_read_only(&mut self) -> bool {
        let set = |how: &str| {
            let sql = format!(
                "begin; set transaction read write; alter database postgres {how}; commit;
                select count(pg_terminate_backend(pid)) from pg_stat_activity
                where application_name = 'btctl' and pid <> pg_backend_pid() and random() < 0.7"
            );
            self.postgres.query(&sql).is_ok()
        };
        let since = now();
        if !set("set default_transaction_read_only = on") {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(1_500)));
        let reset = "begin; set transaction read write;
            alter database postgres reset default_transaction_read_only; commit";
        wait_until("the spell is over", || self.postgres.query(reset).ok().map(drop));
        self.seen.read_only_spells += 1;
        self.seen.outages.push((since, now()));
        true
    }

    fn cut_connections(&mut self) -> bool {
        self.seen.connections_cut += 1;
        let sql =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()
            and application_name = 'btctl'";
        self.postgres.query(sql).is_ok()
    }

    fn silent_clients(&mut self) -> bool {
        let coordinator = self.some_coordinator();
        let address = self.coordinators[coordinator].0;
        for _ in 0..SILENT {
            let key = self.random.next().to_string();
            self.seen.silent_clients += u32::from(self.peers.submit(address, &key));
        }
        self.seen.silent_clients > 0
    }

    fn stopped_readers(&mut self) -> bool {
        let Some(sweep) = self.sweeps.last().cloned() else { return false };
        let coordinator = self.some_coordinator();
        let address = self.coordinators[coordinator].0;
        for _ in 0..SILENT {
            self.seen.stopped_readers += u32::from(self.peers.list(address, &sweep));
        }
        self.seen.stopped_readers > 0
    }

    fn some_coordinator(&mut self) -> usize {
        self.random.below(self.coordinators.len() as u64) as usize
    }
}
