//! Whether the clock is set, and stays so without power.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::findings::Findings;
use crate::{health, runtime};

/// 1 January 2026: nothing that this program knows of is older.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn look(findings: &mut Findings) {
    judge(
        runtime::wall_clock(),
        Path::new("/sys/class/rtc/rtc0").exists(),
        health::clock_is_synchronised(),
        findings,
    );
}

fn judge(now: SystemTime, has_rtc: bool, is_synchronised: Option<bool>, findings: &mut Findings) {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        findings.bad(
            "the clock is not set: it shows a time before 2026, and so do the log, the state file and the reports",
            "sudo timedatectl set-time 'YEAR-MONTH-DAY HOUR:MINUTE:SECOND' && sudo hwclock --systohc, with a battery at the \
             real-time clock so that it lasts",
        );
    }
    if !has_rtc {
        findings.advice(
            "there is no real-time clock: after each power cut the time is wrong until somebody or a time server sets it",
            "connect one, with a battery; on a Raspberry Pi 5 it is on the board, and its battery is plugged in beside the USB-C socket",
        );
    }
    match is_synchronised {
        Some(true) => findings.good("the clock is synchronised with a time server"),
        Some(false) => findings.advice(
            "the clock is not synchronised with a time server: it goes wrong by some seconds a month",
            "sudo timedatectl set-ntp true; on a cart without a network, compare it with a watch now and then",
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Level;
    use super::*;

    #[test]
    fn a_clock_is_judged() {
        let levels = |seconds, has_rtc, is_synchronised| {
            let mut findings = Findings::default();
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            judge(now, has_rtc, is_synchronised, &mut findings);
            findings.0.into_iter().map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(levels(1_800_000_000, true, Some(true)), [Level::Good]);
        assert_eq!(levels(1_800_000_000, true, None), []);
        assert_eq!(levels(1_800_000_000, false, Some(false)), [Level::Advice, Level::Advice]);
        assert_eq!(levels(86_400, true, Some(false)), [Level::Bad, Level::Advice]);
    }
}
