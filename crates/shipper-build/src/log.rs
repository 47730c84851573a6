//! What a build says while it runs.

/// Where a build reports to; shared between builds that run at the same time, so every method takes `&self`.
///
/// Nothing is ever printed by this crate. A log that blocks delays the build.
pub trait BuildLog: Send + Sync {
    /// One line for people, without a line ending: a rendered compiler diagnostic, a warning, a builder's output.
    fn line(&self, line: &str);

    /// Something that a person should know although the build goes on. Also a line.
    fn warning(&self, text: &str) {
        self.line(&format!("warning: {text}"));
    }

    /// One step of progress.
    fn step(&self, step: &Step) {
        let _ = step;
    }
}

/// A [`BuildLog`] that forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl BuildLog for NoLog {
    fn line(&self, _: &str) {}
}

/// Progress of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Dependencies are being downloaded.
    Fetching,
    /// All artifacts of one crate are there.
    Crate {
        /// The package's name.
        name: String,
        /// The package's version.
        version: String,
        /// Whether it was already there from an earlier build, so that nothing was compiled.
        fresh: bool,
        /// How many crates are done, this one included.
        done: usize,
        /// How many crates there are in all, as far as known; never less than `done`.
        total: usize,
    },
    /// The compiler is done.
    Compiled {
        /// Crates that were compiled.
        compiled: usize,
        /// Crates that were there from an earlier build.
        fresh: usize,
    },
    /// A layer is written.
    Layer {
        /// What it holds, as the image's history will say it.
        created_by: String,
        /// Compressed size in bytes.
        size: u64,
    },
    /// A builder begins a step of a Dockerfile.
    Instruction {
        /// The step as the builder prints it, such as `RUN make`.
        name: String,
        /// Its number within its stage, from 1.
        number: usize,
        /// How many steps the stage has.
        total: usize,
    },
    /// The step begun last came from the builder's cache.
    Cached,
}
