//! 2. Decide: rule files -> compiled rules -> `Engine::step(input, now)` -> effects. Pure.
