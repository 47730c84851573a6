//! Event and record types of a shipper run, and what is rendered from them.
