//! Dates as the originals write them: local time of the writer, without a zone.
//!
//! They are shown and sent, and told apart; nothing here asks which of two hosts' dates is later
//! (mqtt-session.md 2 and 8.8).

use std::fmt;

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;

/// Microseconds since 1970-01-01T00:00:00 on a wall clock that shows local time.
///
/// `Display` writes `YYYY-MM-DDTHH:MM:SS.ffffff`; the fraction is left out when it is zero, as
/// Python's `isoformat` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LocalTime(pub i64);

/// The time as a machine is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Monotonic milliseconds since an arbitrary start; every deadline is on this scale.
    pub mono_ms: u64,
    /// What the wall clock shows here.
    pub local: LocalTime,
    /// Seconds by which local time is ahead of UTC.
    pub offset_s: i32,
}

impl LocalTime {
    /// Reads a date with up to nine digits of fraction, and with `Z` or `±HH:MM`, which is
    /// converted to the local time of a host that is `offset_s` seconds ahead of UTC. `None` for
    /// what is no date.
    pub fn parse(text: &str, offset_s: i32) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            Some(
                digits
                    .iter()
                    .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
            )
        };
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        if !(is(4, b"-") && is(7, b"-") && is(10, b"T ") && is(13, b":") && is(16, b":")) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let is_date = year >= 1 && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !is_date || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_of(year, month, day);
        if date_of(days) != (year, month, day) {
            return None;
        }
        let (fraction_us, at) = fraction(bytes, 19)?;
        let zone = zone(text.get(at..)?)?;
        let shift_s = zone.map_or(0, |zone| i64::from(offset_s) - zone);
        let s = days * S_PER_DAY + hour * 3_600 + minute * 60 + second + shift_s;
        Some(Self(s * US_PER_S + fraction_us))
    }
}

/// Microseconds of a fraction that may be at a place, and the place behind it.
fn fraction(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    if bytes.get(at) != Some(&b'.') {
        return Some((0, at));
    }
    let digits = bytes[at + 1..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let (mut us, mut count) = (0, 0);
    for digit in digits {
        if count < 6 {
            us = us * 10 + i64::from(digit - b'0');
        }
        count += 1;
    }
    if count > 9 {
        return None;
    }
    let scale = (count..6).fold(1, |scale, _| scale * 10);
    Some((us * scale, at + 1 + count))
}

/// Seconds ahead of UTC that a text says, if it says any. `None` for something else.
fn zone(text: &str) -> Option<Option<i64>> {
    let sign = match text.as_bytes() {
        [] => return Some(None),
        b"Z" | b"z" => return Some(Some(0)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let number = |text: &str| -> Option<i64> {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(Some(sign * (hours * 3_600 + minutes * 60)))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse: `civil_from_days` there.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.div_euclid(US_PER_S);
        let us = self.0.rem_euclid(US_PER_S);
        let (year, month, day) = date_of(s.div_euclid(S_PER_DAY));
        let of_day = s.rem_euclid(S_PER_DAY);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if us > 0 {
            write!(f, ".{us:06}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use proptest::prelude::*;

    use super::*;

    fn at_two_hours(text: &str) -> Option<String> {
        LocalTime::parse(text, 7_200).map(|time| time.to_string())
    }

    #[test]
    fn dates_of_all_kinds_are_read() {
        for (text, read) in [
            ("2026-11-26T14:05:06.123456", "2026-11-26T14:05:06.123456"),
            ("2026-11-26T14:05:06", "2026-11-26T14:05:06"),
            ("2026-11-26 14:05:06.5", "2026-11-26T14:05:06.500000"),
            (
                "2026-11-26T14:05:06.123456789",
                "2026-11-26T14:05:06.123456",
            ),
            ("2026-11-26T12:05:06Z", "2026-11-26T14:05:06"),
            ("2026-11-26T23:05:06.25+00:00", "2026-11-27T01:05:06.250000"),
            ("2026-01-01T00:30:00+03:30", "2025-12-31T23:00:00"),
            ("2024-02-29T00:00:00-02:00", "2024-02-29T04:00:00"),
        ] {
            assert_eq!(at_two_hours(text).as_deref(), Some(read), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "now",
            "2026-11-26",
            "2026-13-26T14:05:06",
            "2026-02-30T14:05:06",
            "2026-11-26T24:05:06",
            "2026-11-26T14:05:06.1234567890",
            "2026-11-26T14:05:06+2",
            "2026-11-26T14:05:06+25:00",
            "2026-11-26T14:05:06 UTC",
            "+026-11-26T14:05:06",
            "2026-11-26T14:05:0\u{e9}",
        ] {
            assert_eq!(at_two_hours(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(us in 0..253_402_300_799_999_999_i64, offset_s in -50_000..50_000) {
            let time = LocalTime(us);
            prop_assert_eq!(LocalTime::parse(&time.to_string(), offset_s), Some(time));
        }

        #[test]
        fn any_text_is_a_date_or_none(text in ".{0,40}") {
            let _ = LocalTime::parse(&text, 0);
        }
    }
}
