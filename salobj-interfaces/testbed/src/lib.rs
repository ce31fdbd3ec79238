//! salobj-testbed
