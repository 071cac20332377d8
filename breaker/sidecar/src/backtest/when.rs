//! Dates as logs write them, and as people read them. Proleptic Gregorian, without leap seconds.

use breaker_tower::breaker_core::Timestamp;

/// The time of `2026-11-28T09:15:04.960Z`, with any offset; a space may stand for the `T`, and
/// slashes for the hyphens.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_at_checked(10)?;
    let clock = clock.strip_prefix(['T', 't', ' '])?;
    let mut date = date.split(['-', '/']);
    let (year, month, day) = (number(date.next()?)?, number(date.next()?)?, date.next()?);
    let days = days(year, month, number(day)?)?;
    let zone = clock.find(['Z', 'z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone);
    at(days, nanos_of_day(clock)?, offset(zone)?)
}

/// The time of the Common Log Format, `28/Nov/2026:09:15:04 +0000`. Without an offset, it is UTC.
pub(super) fn common_log(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once(':')?;
    let mut date = date.split('/');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let days = days(number(year)?, month, number(day)?)?;
    let (clock, zone) = clock.split_once(' ').unwrap_or((clock, ""));
    at(days, nanos_of_day(clock)?, offset(zone)?)
}

/// `2026-11-28T09:15:04.960Z`, if `at` is a date: a trace may also count from zero.
pub(super) fn date(at: Timestamp) -> Option<String> {
    let millis = at.as_nanos() / 1_000_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    if seconds < FIRST_DATE {
        return None;
    }
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    ))
}

fn at(days: i64, nanos: i128, offset: i64) -> Option<Timestamp> {
    let nanos = i128::from(days * DAY as i64 - offset) * NANOS + nanos;
    u64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

fn nanos_of_day(clock: &str) -> Option<i128> {
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let second = parts.next().map_or(Some(0), number)?;
    let is_clock = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    let digits = fraction.get(..9.min(fraction.len()))?;
    let fraction = match digits {
        "" => 0,
        digits => i128::from(number(digits)?) * 10_i128.pow(9 - digits.len() as u32),
    };
    is_clock.then(|| i128::from(hour * 3600 + minute * 60 + second) * NANOS + fraction)
}

/// The offset in seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let zone = zone.trim();
    let (sign, zone) = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => return (zone.len() <= 1).then_some(0),
        Some(b'+') => (1, &zone[1..]),
        Some(b'-') => (-1, &zone[1..]),
        Some(_) => return None,
    };
    let digits: String = zone.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() {
        0
    } else {
        number(minutes)?
    };
    Some(sign * (number(hours)? * 3600 + minutes * 60))
}

fn number(digits: &str) -> Option<i64> {
    let is_plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// Days since 1970, by the algorithm of Howard Hinnant.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY: u64 = 86_400;
const NANOS: i128 = 1_000_000_000;
/// A time in 1973. Smaller times count from the start of a test.
const FIRST_DATE: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_forms_are_the_same_time() {
        let at = Some(Timestamp::from_millis(1_795_857_304_960));
        for text in [
            "2026-11-28T09:15:04.960Z",
            "2026-11-28 09:15:04.96",
            "2026/11/28 09:15:04.960",
            "2026-11-28T10:15:04.960000000000+01:00",
            "2026-11-27T23:45:04,960-0930",
        ] {
            assert_eq!(rfc3339(text), at, "{text}");
        }
        for text in [
            "28/Nov/2026:09:15:04.960",
            "28/Nov/2026:09:15:04.960 +0000",
            "28/Nov/2026:14:45:04.960 +0530",
        ] {
            assert_eq!(common_log(text), at, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2026-11-28",
            "2026-13-28T09:15:04Z",
            "2026-11-28T25:15:04Z",
            "é026-1",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
        for text in [
            "",
            "28/Nox/2026:09:15:04",
            "28/Nov/2026",
            "01/Jan/1960:00:00:00 +0000",
        ] {
            assert_eq!(common_log(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_written_where_there_is_one() {
        assert_eq!(date(Timestamp::from_millis(12_345)), None);
        let leap = Timestamp::from_millis(1_709_164_800_001);
        assert_eq!(date(leap).as_deref(), Some("2024-02-29T00:00:00.001Z"));
        assert!(date(Timestamp::from_nanos(u64::MAX)).is_some());
    }

    proptest::proptest! {
        #[test]
        fn every_date_is_read_as_it_was_written(millis in FIRST_DATE * 1000..253_402_300_799_999) {
            // Timestamps end in 2554.
            let at = Timestamp::from_millis(millis.min(u64::MAX / 1_000_000));
            proptest::prop_assert_eq!(rfc3339(&date(at).expect("a date")), Some(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = (rfc3339(&text), common_log(&text));
        }
    }
}
