//! Gathers facts, plans, and executes the plan: what an embedding tool depends on.
