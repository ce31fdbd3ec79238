//! Simulated peers with control handles; reached only by name.
