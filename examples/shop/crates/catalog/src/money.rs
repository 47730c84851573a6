//! Amounts in whole cents.

use std::fmt;

/// An amount in euro cents. Sums and products are checked: an order of absurd size is an error, not a bargain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(u64);

impl Money {
    /// An amount of `cents`.
    #[must_use]
    pub const fn from_cents(cents: u64) -> Self {
        Self(cents)
    }

    /// The amount in cents.
    #[must_use]
    pub const fn cents(self) -> u64 {
        self.0
    }

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The price of `quantity` pieces, or `None` where it does not fit.
    #[must_use]
    pub fn checked_mul(self, quantity: u32) -> Option<Self> {
        self.0.checked_mul(quantity.into()).map(Self)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "€ {}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_always_have_two_digits() {
        for (cents, text) in [(0, "€ 0.00"), (5, "€ 0.05"), (1400, "€ 14.00"), (1_000_001, "€ 10000.01")] {
            assert_eq!(Money::from_cents(cents).to_string(), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_amount() {
        assert_eq!(Money::from_cents(u64::MAX).checked_add(Money::from_cents(1)), None);
        assert_eq!(Money::from_cents(u64::MAX).checked_mul(2), None);
    }
}
