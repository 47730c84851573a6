//! Test stand-ins and fixtures of the shipper workspace: fake registry, fault scripts, real servers on loopback.
