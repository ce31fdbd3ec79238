//! 1. Kafka in: which topics and fields the rules need, decode only those, latest values and histories.
