//! The pure half of shipper: configuration model, facts, plan, reasons.
