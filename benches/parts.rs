//! The parts that a call spends its time in, one by one: cipher machine, request fields, signatures' texts, audit
//! records, and a commit of the store with one and with many calls.

fn main() {}
