//! The shipper command: builds images once, skips what has not changed, deploys the same bytes everywhere.
