//! A command on a terminal: what it has on its screen, keys that are typed, and another size.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::wait_until;

type Screen = Arc<Mutex<vt100::Parser>>;

/// A command whose standard input, output and error are a terminal.
pub struct Terminal {
    what: String,
    child: Child,
    keyboard: File,
    /// The command's side, which keeps its last words after it has ended.
    inner: OwnedFd,
    screen: Screen,
}

impl Terminal {
    /// Runs a command on a terminal of so many columns and rows.
    pub fn run(command: &Command, columns: u16, rows: u16) -> Self {
        let outer =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("open a terminal");
        grantpt(&outer).expect("get a terminal");
        unlockpt(&outer).expect("unlock a terminal");
        let name = ptsname(&outer, Vec::new()).expect("a terminal has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inner = rustix::fs::open(&*name, flags, Mode::empty()).expect("open a terminal's other side");
        tcsetwinsize(&outer, size(columns, rows)).expect("set a terminal's size");
        let side = || Stdio::from(inner.try_clone().expect("share a terminal"));
        // It makes the terminal the command's own, so that Ctrl-C reaches it.
        let mut own = Command::new("setsid");
        own.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            own.current_dir(dir);
        }
        own.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("COLUMNS");
        let child =
            own.stdin(side()).stdout(side()).stderr(side()).spawn().expect("run a command on a terminal");
        let rows_and_columns = (number(rows), number(columns));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows_and_columns.0, rows_and_columns.1, 1000)));
        let keyboard = File::from(outer);
        let mut output = keyboard.try_clone().expect("share a terminal");
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read) = output.read(&mut piece) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&piece[..read]);
                if read == 0 {
                    return;
                }
            }
        });
        let what = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Self { what, child, keyboard, inner, screen }
    }

    /// What is on the screen, line by line, without the spaces at their ends.
    pub fn screen(&self) -> String {
        let contents = self.with(|screen| screen.contents());
        contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// What is drawn stands on a screen of its own, as full-screen programs have it.
    pub fn is_full_screen(&self) -> bool {
        self.with(|screen| screen.alternate_screen())
    }

    pub fn hides_cursor(&self) -> bool {
        self.with(|screen| screen.hide_cursor())
    }

    /// Keys reach the command one by one, and are not shown.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.inner).expect("a terminal has modes");
        !modes.local_modes.contains(rustix::termios::LocalModes::ICANON)
    }

    fn with<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen())
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, look: impl Fn(&str) -> bool) {
        wait_until(&format!("btctl {} shows {what:?}", self.what), || look(&self.screen()).then_some(()));
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).set_size(number(rows), number(columns));
        tcsetwinsize(&self.keyboard, size(columns, rows)).expect("set a terminal's size");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `TERM`.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "signal btctl {} with {signal}", self.what);
    }

    /// Waits until it has ended and all that it wrote is on the screen. Returns its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let what = format!("btctl {} has ended", self.what);
        let status = wait_until(&what, || self.child.try_wait().ok().flatten());
        // What is written behind the command's last words is shown behind them.
        const END: &str = "<the end>";
        File::from(self.inner.try_clone().expect("share a terminal"))
            .write_all(END.as_bytes())
            .expect("write");
        self.wait_for(END);
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- the screen of btctl {}\n{}", self.what, self.screen());
        }
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has a size")
}
