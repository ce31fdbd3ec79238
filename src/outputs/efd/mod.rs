//! EFD: query and write, InfluxDB 2 (Flux) and InfluxDB 1 (InfluxQL).
