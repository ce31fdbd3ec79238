//! Tests of the alarms: the Watcher's recorded behaviour, the mended defects, random operations, the book.

mod golden;
