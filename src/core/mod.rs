//! The one owner of rules, alarms and runs: `step(input, now) -> outputs`. Pure.
