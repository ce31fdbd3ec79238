//! 3. Remember: the alarm state machine and the book of alarms. Pure.
