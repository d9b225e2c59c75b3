//! Figures as people read them.

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Per second.
    Rate,
    /// Microseconds.
    Time,
    /// Bytes.
    Size,
    /// A ratio.
    Ratio,
}

impl Unit {
    /// Three digits and a prefix that fits.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Rate => scaled(value, 1e3, &["", " k", " M"], "/s"),
            Self::Time => scaled(value, 1e3, &[" us", " ms", " s"], ""),
            Self::Size => scaled(value, 1024.0, &[" B", " KiB", " MiB"], ""),
            Self::Ratio => format!("{} x", digits(value)),
        }
    }
}

fn scaled(mut value: f64, step: f64, prefixes: &[&str], end: &str) -> String {
    let mut prefix = 0;
    while value.abs() >= step && prefix + 1 < prefixes.len() {
        value /= step;
        prefix += 1;
    }
    format!("{}{}{end}", digits(value), prefixes[prefix])
}

fn digits(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 10.0 {
        format!("{value:.2}")
    } else if value.abs() < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(Unit::Rate.text(2_345_678.0), "2.35 M/s");
        assert_eq!(Unit::Time.text(1_234.0), "1.23 ms");
        assert_eq!(Unit::Size.text(512.0), "512 B");
        assert_eq!(Unit::Ratio.text(1.149), "1.15 x");
        assert_eq!(Unit::Rate.text(0.0), "0/s");
    }
}
