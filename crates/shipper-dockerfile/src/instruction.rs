//! The instructions of a Dockerfile as people see them: for messages and advice, not for what a build reads.

use crate::error::Error;
use crate::syntax::{self, Command};

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instruction {
    /// 1-based line where it begins.
    pub line: usize,
    /// Its name in upper case, such as `RUN`.
    pub keyword: String,
    /// The whole instruction with its lines joined, without the text of heredocs and surrounding blanks.
    pub text: String,
    /// Index of its stage, which a `FROM` begins; `None` before the first.
    pub stage: Option<usize>,
    /// What `COPY` and `ADD` take from the build context, as it is written; empty with `--from`.
    pub sources: Vec<String>,
    /// The values of `RUN --mount`, as they are written.
    pub mounts: Vec<String>,
}

impl Instruction {
    /// Whether a builder that prints `text` means this instruction: blanks are not told apart.
    #[must_use]
    pub fn is_printed_as(&self, text: &str) -> bool {
        self.text.split_whitespace().eq(text.split_whitespace())
    }
}

/// The instructions of a Dockerfile in their order.
///
/// ```
/// let list = shipper_dockerfile::instructions(b"FROM scratch\nCOPY . .\n")?;
/// assert_eq!((list[1].line, list[1].keyword.as_str(), list[1].stage), (2, "COPY", Some(0)));
/// assert_eq!(list[1].sources, ["."]);
/// # Ok::<(), shipper_dockerfile::Error>(())
/// ```
///
/// # Errors
/// [`Error::Syntax`] with the line, where BuildKit's parser finds none either.
pub fn instructions(dockerfile: &[u8]) -> Result<Vec<Instruction>, Error> {
    let file = syntax::parse(&String::from_utf8_lossy(dockerfile))?;
    let mut stage: Option<usize> = None;
    let list = file.statements.into_iter().map(|statement| {
        let (mut sources, mut mounts) = (Vec::new(), Vec::new());
        match statement.command {
            Command::From(_) => stage = Some(stage.map_or(0, |stage| stage + 1)),
            Command::Transfer(transfer) if transfer.from.is_none() => sources = transfer.sources,
            Command::Run(run) => mounts = run.mounts,
            _ => {}
        }
        let keyword = statement.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        Instruction { line: statement.line, keyword, text: statement.text, stage, sources, mounts }
    });
    Ok(list.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_their_line_stage_and_sources() {
        let text = "ARG A\nFROM a AS one\n# a comment\nCOPY x \\\n  y /to/\nrun --mount=type=cache,target=/c make \\\n\n  all\n\
                    FROM b\nCOPY --from=one /x /\nCOPY <<END /file\nCOPY . .\nEND\nCMD [\"x\"]\n";
        let list = instructions(text.as_bytes()).expect("parses");
        let told: Vec<(usize, &str, Option<usize>)> =
            list.iter().map(|one| (one.line, one.keyword.as_str(), one.stage)).collect();
        let expected = [
            (1, "ARG", None),
            (2, "FROM", Some(0)),
            (4, "COPY", Some(0)),
            (6, "RUN", Some(0)),
            (9, "FROM", Some(1)),
            (10, "COPY", Some(1)),
            (11, "COPY", Some(1)),
            (14, "CMD", Some(1)),
        ];
        assert_eq!(told, expected);
        assert_eq!(list[2].sources, ["x", "y"]);
        assert_eq!(list[3].mounts, ["type=cache,target=/c"]);
        assert!(list[3].is_printed_as("run --mount=type=cache,target=/c make all"));
        assert!(list[5].sources.is_empty() && list[6].sources.is_empty());
        assert!(instructions(b"FROM a\nNONSENSE\n").is_err());
    }
}
