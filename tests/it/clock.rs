//! Clocks that are wrong or jump: nothing is decided by them.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shipper_testkit::{Auth, FakeRegistry, Skip, need, require_tool};

use crate::support::{Project, Ran};

/// A wall clock that is as wrong as a file says, for programs that load its library; times of files, and the clock that
/// waits are measured by, stay real.
struct Clock {
    library: String,
    shift: PathBuf,
}

impl Clock {
    fn find(project: &Project) -> Result<Self, Skip> {
        let program = require_tool("faketime")?;
        // The library's place depends on the system; the program knows it.
        let output = Command::new(program).args(["-m", "-f", "+0", "env"]).output().expect("faketime starts");
        let variables = String::from_utf8_lossy(&output.stdout).into_owned();
        let library =
            variables.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).expect("a library").to_owned();
        let clock = Self { library, shift: project.cache().join("shift") };
        clock.set("+1d");
        let seconds = |output: Output| String::from_utf8_lossy(&output.stdout).trim().parse::<i64>().expect("seconds");
        let date = || Command::new("date").arg("+%s").output().expect("date starts");
        let mut shifted = Command::new("date");
        let ahead = seconds(clock.seen_by(shifted.arg("+%s")).output().expect("date starts")) - seconds(date());
        assert!((86_390..=86_400).contains(&ahead), "{ahead} s");
        Ok(clock)
    }

    /// Replaced as a whole, so that a look finds one shift or the other.
    fn set(&self, shift: &str) {
        let new = self.shift.with_extension("new");
        std::fs::write(&new, shift).and_then(|()| std::fs::rename(&new, &self.shift)).expect("writes");
    }

    fn seen_by<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.shift)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }

    fn run(&self, project: &Project, arguments: &[&str]) -> Ran {
        Ran::of(&self.seen_by(&mut project.command(arguments)).output().expect("the binary starts"))
    }
}

#[test]
fn e4_a_clock_that_is_off_changes_no_byte_of_a_plan() {
    let project = Project::two_services();
    let clock = need!(Clock::find(&project));
    let at = |shift: &str, arguments: &[&str]| {
        clock.set(shift);
        clock.run(&project, arguments).ok()
    };
    at("-1d", &["ship"]).says("2 built");
    let plan = ["plan", "--json"];
    let expected = project.run(plan).ok().stdout;
    for shift in ["-1d", "+0", "+1d", "-400d", "+400d"] {
        assert_eq!(at(shift, &plan).stdout, expected, "{shift}");
    }
    project.repo.write("docs/index.md", "other\n");
    let expected = project.run(plan).ok().stdout;
    assert!(expected.contains("\"docs/index.md\""), "{expected}");
    for shift in ["-1d", "+1d"] {
        assert_eq!(at(shift, &plan).stdout, expected, "{shift}");
    }
    at("+1d", &["ship"]).says("1 built, 1 reused");
    at("-1d", &["ship"]).says("nothing is due");
}

#[test]
fn a_clock_that_is_off_is_told_by_the_doctor() {
    let project = Project::two_services();
    let clock = need!(Clock::find(&project));
    let registry = FakeRegistry::start();
    for (shift, word) in [("-1d", "behind"), ("+1d", "ahead of")] {
        clock.set(shift);
        let ran = clock.run(&project, &["doctor", "--registry", registry.host()]).ok();
        assert!(
            ran.stdout.contains(&format!(" {word} the registry's: times in names and records are off")),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn e4_a_clock_that_jumps_while_images_are_pushed_breaks_nothing() {
    let project = Project::two_services();
    let clock = need!(Clock::find(&project));
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", "password").expires_in(Some(60))).start();
    for repository in ["demo/docs", "demo/site"] {
        registry.create_repository(repository);
    }
    let directory = project.repo.home().join(".docker");
    std::fs::create_dir_all(&directory).expect("creates");
    let login = serde_json::json!({ "auths": { registry.host(): { "auth": "dXNlcjpwYXNzd29yZA==" } } });
    std::fs::write(directory.join("config.json"), login.to_string()).expect("writes");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let shifts = ["-1h", "+1d", "-1d", "+0", "-3650d", "+1h"];
            for shift in shifts.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                clock.set(shift);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let ship = ["ship", "--registry", registry.host()];
        let runs: Vec<(Ran, Ran)> = (0..4)
            .map(|round| {
                project.repo.write("shared/logo.svg", format!("<svg>{round}</svg>\n"));
                (clock.run(&project, &ship), clock.run(&project, &ship))
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        for (first, second) in runs {
            first.ok().says("2 built");
            second.ok().says("nothing is due");
        }
    });
}
