//! What clients do meanwhile: they submit sweeps, some of them twice, and cancel, pause, resume and retry them.

use serde_json::Value;

use super::Driver;

impl Driver {
    pub(super) fn load(&mut self) {
        match self.random.below(10) {
            0..=4 => self.submit(),
            5 | 9 => self.on_some_sweep(&["cancel"]),
            6 => self.on_some_sweep(&["pause"]),
            7 => self.on_some_sweep(&["resume"]),
            8 => self.on_some_sweep(&["retry"]),
            _ => {}
        }
    }

    fn submit(&mut self) {
        let number = self.sweeps.len();
        let (mut jobs, mut millis) = (1 + self.random.below(40) as u32, 150 * self.random.below(4));
        if self.random.once_in(12) {
            (jobs, millis) = (jobs % 4 + 1, 4_000 + self.random.below(2_000));
        }
        let (key, name) = (format!("key-{number}"), format!("s{number}"));
        // One job in eight fails by its own doing.
        let exit = if self.random.once_in(8) { "1" } else { "0" };
        let mut args: Vec<String> =
            ["submit", "--image", "x", "--name", &name, "--idempotency-key", &key].map(str::to_owned).into();
        let flags = [
            format!("--matrix=n=1:{jobs}"),
            format!("--env=BT_SIM_MS={millis}"),
            format!("--env=BT_SIM_EXIT={exit}"),
            format!("--priority={}", self.random.below(3)),
            format!("--retries={}", self.random.below(3)),
            format!("--cpus={}", ["0.5", "1", "2"][self.random.below(3) as usize]),
            "--memory=64m".to_owned(),
        ];
        args.extend(flags);
        match self.random.below(6) {
            0 => args.push("--max-parallel=2".to_owned()),
            1 => args.push("--limit=shared=2".to_owned()),
            2 => args.push("--canary=2".to_owned()),
            _ => {}
        }
        if self.random.once_in(4) {
            args.push("--preempt".to_owned());
        }
        // Many are identical to others: the numbers begin at 1, and there are few lengths.
        if self.random.once_in(3) {
            args.push("--reuse".to_owned());
        }
        args.extend(["-o", "json", "--", "x"].map(str::to_owned));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let submitted = self.btctl(&args);
        if submitted.code == 0
            && let Ok(answer) = serde_json::from_str::<Value>(&submitted.stdout)
        {
            let id = answer["id"].as_str().unwrap_or_default().to_owned();
            self.seen.submits.push((key, id.clone(), jobs));
            self.sweeps.push(id);
            if self.random.once_in(3) {
                // Sent again, as a client does whose line broke.
                let again = self.btctl(&args);
                if again.code == 0 {
                    let answer: Value = serde_json::from_str(&again.stdout).unwrap_or_default();
                    let id = answer["id"].as_str().unwrap_or_default().to_owned();
                    self.seen.submits.push((format!("key-{number}"), id, jobs));
                }
            }
        }
    }

    fn on_some_sweep(&mut self, command: &[&str]) {
        if self.sweeps.is_empty() {
            return;
        }
        let recent = self.sweeps.len().min(6) as u64;
        let sweep = self.sweeps[self.sweeps.len() - 1 - self.random.below(recent) as usize].clone();
        let mut args = command.to_vec();
        args.push(&sweep);
        // It may be refused, or no coordinator may be there.
        self.btctl(&args);
    }
}
