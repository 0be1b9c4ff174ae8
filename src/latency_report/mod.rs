//! Logs of latencies, of one cart or of many, as tables, as a page, and compared with one another.
//!
//! | module | job |
//! |---|---|
//! | [`gather`] | logs → runs of carts, with what is missing in them |
//! | [`summary`] | a run's figures: percentiles, fates, time in each state |
//! | [`compare`] | how much a percentile differs between two runs, and how sure that is |
//! | [`charts`] | distributions and the course of time as SVG |
//! | [`page`] | all of it as one file for a browser, without anything from elsewhere |

pub mod charts;
pub mod compare;
pub mod gather;
pub mod page;
pub mod summary;
