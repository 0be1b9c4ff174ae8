//! Logs of latencies, of one cart or of many, as tables, as a page, and compared with one another.
//!
//! | module | job |
//! |---|---|
//! | [`gather`] | logs → runs of carts, with what is missing in them |
//! | [`summary`] | a run's figures: percentiles, fates, time in each state |
//! | [`compare`] | how much a percentile differs between two runs, and how sure that is |
//! | [`charts`] | distributions and the course of time as SVG |
//! | `html` | words between tags |
//! | [`tables`] | the page's tables; of a fleet, the slowest carts first |
//! | [`page`] | all of it as one file for a browser, without anything from elsewhere |

pub mod charts;
pub mod compare;
pub mod gather;
mod html;
pub mod page;
pub mod summary;
pub mod tables;
