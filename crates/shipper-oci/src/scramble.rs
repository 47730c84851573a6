//! Cheap arbitrary text for the parser tests: 10^5 cases must not take longer to make than to parse.

/// Text of at most `most` pieces, the same for the same seed.
pub(crate) fn text(seed: u64, pieces: &[&str], most: usize) -> String {
    let mut state = seed;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)
    };
    let length = next() % (most + 1);
    (0..length).map(|_| pieces[next() % pieces.len()]).collect()
}
