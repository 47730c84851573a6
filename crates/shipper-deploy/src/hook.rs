//! Commands that deploy. An argument list is run as it is; it sees what it is given and nothing else; it ends in time.

use std::path::PathBuf;
use std::time::Duration;

use shipper_build::{BuildLog, CheckFailure, Environment, run_command};

/// A command with everything that it is given.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// All variables that it sees.
    pub environment: Environment,
    /// How long it may take. It is killed then, with everything that it started.
    pub timeout: Duration,
}

impl Hook {
    /// Runs the command and hands every line that it writes to `log`. Dropping the future ends it with everything that it
    /// started.
    ///
    /// # Errors
    /// [`CheckFailure`] where it is not found, does not start, does not return 0, or takes too long.
    pub async fn run(&self, log: &dyn BuildLog) -> Result<(), CheckFailure> {
        run_command(&self.argv, &self.directory, &self.environment, Some(self.timeout), log).await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use shipper_build::NoLog;

    fn hook(argv: &[&str], timeout: Duration) -> Hook {
        Hook {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            directory: "/".into(),
            environment: [("PATH", "/usr/bin:/bin")].into_iter().collect(),
            timeout,
        }
    }

    /// G13: whatever a name or value is, it arrives as it is.
    #[tokio::test]
    async fn arguments_and_variables_arrive_unchanged() {
        let mut random = fastrand::Rng::with_seed(7);
        let special = ['$', '`', '"', '\'', '\\', '\n', ' ', ';', '&', '|', '*', '{', '}', '%', '!', 'é', '\u{1}', '='];
        let mut text = |length: usize| -> String {
            (0..length)
                .map(|_| if random.bool() { special[random.usize(..special.len())] } else { random.alphanumeric() })
                .collect()
        };
        for _ in 0..20 {
            // Five hundred values a process: ten thousand in all.
            let arguments: Vec<String> = (0..250).map(|_| text(12)).collect();
            let values: Vec<String> = (0..250).map(|_| text(12)).collect();
            let expected: Vec<u8> = arguments.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect();
            let out = tempfile::NamedTempFile::new().expect("a file");
            let path = out.path().to_str().expect("plain").to_owned();
            let script = "printf '%s\\0' \"$@\" > \"$OUT\"; env -0 > \"$OUT.env\"";
            let mut argv = vec!["sh", "-c", script, "sh"];
            argv.extend(arguments.iter().map(String::as_str));
            let mut hook = hook(&argv, Duration::from_secs(60));
            hook.environment.set("OUT", path.clone());
            for (at, value) in values.iter().enumerate() {
                hook.environment.set(format!("V{at}"), value);
            }
            hook.run(&NoLog).await.expect("runs");
            assert_eq!(std::fs::read(&path).expect("reads"), expected);
            let seen = std::fs::read(format!("{path}.env")).expect("reads");
            let seen: std::collections::BTreeSet<&[u8]> = seen.split(|byte| *byte == 0).collect();
            for (at, value) in values.iter().enumerate() {
                assert!(seen.contains(format!("V{at}={value}").as_bytes()), "{value:?}");
            }
            std::fs::remove_file(format!("{path}.env")).expect("removes");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_everything_that_it_started() {
        let pipe = tempfile::tempdir().expect("a directory");
        let file = pipe.path().join("pid");
        let script = format!("echo begun; sleep 600 & echo $! > {}; wait", file.display());
        let failure = hook(&["sh", "-c", &script], Duration::from_millis(500)).run(&NoLog).await.expect_err("hangs");
        assert!(failure.problem.contains("was killed"), "{}", failure.problem);
        assert_eq!((failure.tail, failure.code), (vec!["begun".to_owned()], None));
        let sleeper = std::fs::read_to_string(&file).expect("was written");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // The kernel takes a moment to end it; the shell that would reap it is gone too.
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while alive() {
            assert!(std::time::Instant::now() < deadline, "it still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
