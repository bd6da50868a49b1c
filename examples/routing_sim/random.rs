//! Numbers that look random and are always the same for a seed and a name.

/// SplitMix64, of a few numbers that together name what is drawn.
pub fn draw(names: &[u64]) -> u64 {
    names.iter().fold(0x9e37_79b9_7f4a_7c15, |state, name| {
        let z = state ^ name.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// From 0 to 1, excluding 1.
pub fn unit(names: &[u64]) -> f64 {
    (draw(names) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Normally distributed, by Box and Muller.
pub fn normal(names: &[u64]) -> f64 {
    let bits = draw(names);
    let [a, b] = [bits, !bits].map(|bits| (draw(&[bits]) >> 11) as f64 / (1_u64 << 53) as f64);
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Log-normally distributed, with a mean of 1.
pub fn spread(sigma: f64, names: &[u64]) -> f64 {
    (sigma * normal(names) - sigma * sigma / 2.0).exp()
}
