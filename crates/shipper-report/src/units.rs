//! Numbers with units, as people read them.

/// A size in binary units, rounded to the nearest tenth: `812 B`, `6.3 KiB`, `88.1 MiB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    // Rounded once, from the exact size: rounding at each step would round twice.
    let tenths = |unit: usize| {
        let divisor = 1024_u128.pow(unit as u32 + 1);
        (u128::from(size) * 10 + divisor / 2) / divisor
    };
    let unit = (0..UNITS.len()).find(|unit| tenths(*unit) < 10_240).unwrap_or(UNITS.len() - 1);
    format!("{}.{} {}", tenths(unit) / 10, tenths(unit) % 10, UNITS[unit])
}

/// A duration in milliseconds: `41ms`, `6.2s`, `1m 38s`, `2h 05m`.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// `1 file`, `2 files`.
#[must_use]
pub fn counted<N: From<u8> + PartialEq + Copy + std::fmt::Display>(count: N, noun: &str) -> String {
    if count == N::from(1) { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Whole milliseconds of a duration, at most what fits.
#[must_use]
pub fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_one_decimal_and_a_binary_unit() {
        let check = |size, expected: &str| assert_eq!(bytes(size), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(92_379_545, "88.1 MiB");
        check(1_048_524, "1023.9 KiB");
        check(1_048_525, "1.0 MiB");
        check(u64::MAX, "16777216.0 TiB");
    }

    #[test]
    fn durations_lose_precision_as_they_grow() {
        let check = |ms, expected: &str| assert_eq!(duration(ms), expected);
        check(41, "41ms");
        check(6_240, "6.2s");
        check(98_000, "1m 38s");
        check(7_500_000, "2h 05m");
    }
}
