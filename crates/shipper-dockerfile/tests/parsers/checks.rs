//! What must hold for any bytes: the functions that the fuzz targets (`fuzz/`) and the properties share.

use shipper_dockerfile::{BuildOptions, IgnoreFile, Inputs, analyze};

/// Analyses `bytes` as a Dockerfile.
///
/// # Panics
/// If an error names a line that is not there, or the result contradicts itself.
pub(crate) fn dockerfile(bytes: &[u8]) {
    match analyze(bytes, &BuildOptions::default()) {
        Ok(analysis) => {
            assert!(analysis.target < analysis.stages.len() || analysis.frontend.is_some(), "no target");
            match &analysis.inputs {
                Inputs::Paths(paths) => {
                    let own = |pattern: &[u8]| !pattern.iter().any(|byte| b"*?[\\".contains(byte));
                    for path in paths.iter().filter(|path| own(&path.pattern)) {
                        assert!(analysis.inputs.covers(&path.pattern), "{path} does not cover itself");
                    }
                }
                Inputs::WholeContext { reasons } => assert!(!reasons.is_empty(), "the whole context without a reason"),
            }
        }
        Err(error) => {
            let lines = 1 + bytes.iter().filter(|&&byte| byte == b'\n').count();
            assert!(!error.to_string().is_empty(), "an error without a text");
            assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)), "{error}: there are {lines} lines");
        }
    }
}

/// Reads what comes before the last line as an ignore file, and asks it for the last line as a path.
///
/// # Panics
/// If the answers contradict each other.
pub(crate) fn ignore_file(bytes: &[u8]) {
    let split = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (text, path) = (&bytes[..split], bytes.get(split + 1..).unwrap_or_default());
    if let Ok(ignore) = IgnoreFile::parse(text) {
        assert!(!ignore.is_excluded(path) || ignore.deciding_line(path).is_some(), "excluded by no line");
        assert!(!ignore.may_contain_exception(path) || text.contains(&b'!'), "an exception without a `!`");
    }
}
