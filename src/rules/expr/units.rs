//! Units as SAL writes them: which are the same, which are of one kind, and how to convert.

/// (spelling, kind, factor, offset): `base = value * factor + offset`.
const UNITS: &[(&str, &str, f64, f64)] = &[
    ("K", "temperature", 1.0, 0.0),
    ("degC", "temperature", 1.0, 273.15),
    ("degF", "temperature", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    ("m/s", "speed", 1.0, 0.0),
    ("km/h", "speed", 1.0 / 3.6, 0.0),
    ("knot", "speed", 1852.0 / 3600.0, 0.0),
    ("Pa", "pressure", 1.0, 0.0),
    ("hPa", "pressure", 100.0, 0.0),
    ("kPa", "pressure", 1000.0, 0.0),
    ("mbar", "pressure", 100.0, 0.0),
    ("bar", "pressure", 1e5, 0.0),
    ("psi", "pressure", 6_894.757_293_168, 0.0),
    ("Torr", "pressure", 101_325.0 / 760.0, 0.0),
    ("s", "time", 1.0, 0.0),
    ("ms", "time", 1e-3, 0.0),
    ("us", "time", 1e-6, 0.0),
    ("min", "time", 60.0, 0.0),
    ("h", "time", 3600.0, 0.0),
    ("m", "length", 1.0, 0.0),
    ("mm", "length", 1e-3, 0.0),
    ("um", "length", 1e-6, 0.0),
    ("cm", "length", 1e-2, 0.0),
    ("km", "length", 1e3, 0.0),
    ("rad", "angle", 1.0, 0.0),
    ("deg", "angle", std::f64::consts::PI / 180.0, 0.0),
    ("arcmin", "angle", std::f64::consts::PI / 10_800.0, 0.0),
    ("arcsec", "angle", std::f64::consts::PI / 648_000.0, 0.0),
    ("mas", "angle", std::f64::consts::PI / 648_000_000.0, 0.0),
    ("rad/s", "angular speed", 1.0, 0.0),
    ("deg/s", "angular speed", std::f64::consts::PI / 180.0, 0.0),
    ("arcsec/s", "angular speed", std::f64::consts::PI / 648_000.0, 0.0),
    ("m3/s", "flow", 1.0, 0.0),
    ("m3/min", "flow", 1.0 / 60.0, 0.0),
    ("m3/h", "flow", 1.0 / 3600.0, 0.0),
    ("l/s", "flow", 1e-3, 0.0),
    ("l/min", "flow", 1e-3 / 60.0, 0.0),
    ("l/h", "flow", 1e-3 / 3600.0, 0.0),
    ("A", "current", 1.0, 0.0),
    ("mA", "current", 1e-3, 0.0),
    ("V", "voltage", 1.0, 0.0),
    ("mV", "voltage", 1e-3, 0.0),
    ("W", "power", 1.0, 0.0),
    ("kW", "power", 1e3, 0.0),
    ("Hz", "frequency", 1.0, 0.0),
    ("kHz", "frequency", 1e3, 0.0),
];

/// The one spelling of a unit.
fn normal(unit: &str) -> String {
    let compact: String = unit.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "deg_C" | "celsius" | "Celsius" | "°C" => "degC",
        "kelvin" | "Kelvin" => "K",
        "degree" | "degrees" | "°" => "deg",
        "radian" | "radians" => "rad",
        "second" | "seconds" | "sec" => "s",
        "minute" | "minutes" => "min",
        "hour" | "hours" => "h",
        "meter" | "meters" | "metre" => "m",
        "meter/second" | "m.s-1" | "ms-1" | "ms^-1" => "m/s",
        "kph" | "kmh" | "km/hr" => "km/h",
        "pascal" | "Pascal" => "Pa",
        "hertz" | "Hertz" => "Hz",
        "ampere" | "amp" | "Amp" => "A",
        "volt" | "Volt" => "V",
        "watt" | "Watt" => "W",
        "percent" | "pct" => "%",
        "degree/second" | "deg/second" | "deg/sec" => "deg/s",
        "liter/minute" | "L/min" => "l/min",
        "liter/hour" | "L/h" => "l/h",
        "liter" | "L" => "l",
        "newton" | "Newton" => "N",
        "newton*meter" | "N*m" => "Nm",
        other => other,
    }
    .to_owned()
}

/// True if two spellings mean the same unit.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a == b || normal(a) == normal(b)
}

/// True for a unit of seconds.
pub(crate) fn is_seconds(unit: &str) -> bool {
    normal(unit) == "s"
}

/// Factor and offset that make a value in `from` one in `to`, if they are of one kind: 3.6 and 0, 1 and 273.15.
pub(crate) fn factors(from: &str, to: &str) -> Option<(f64, f64)> {
    if same(from, to) {
        return Some((1.0, 0.0));
    }
    let find = |u: &str| UNITS.iter().find(|(name, ..)| *name == normal(u));
    let ((_, kind_a, fa, oa), (_, kind_b, fb, ob)) = (find(from)?, find(to)?);
    (kind_a == kind_b).then(|| (tidy(fa / fb), tidy((oa - ob) / fb)))
}

/// How to convert `from` into `to`, if they are of one kind: `x * 3.6`, `x + 273.15`.
pub(crate) fn conversion(from: &str, to: &str) -> Option<String> {
    let (factor, offset) = factors(from, to)?;
    let mut text = "x".to_owned();
    if factor != 1.0 {
        text = format!("{text} * {factor:?}");
    }
    if offset > 0.0 {
        text = format!("{text} + {offset:?}");
    } else if offset < 0.0 {
        text = format!("{text} - {:?}", -offset);
    }
    Some(text)
}

fn tidy(x: f64) -> f64 {
    format!("{x:.12e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_offered_within_a_kind() {
        assert_eq!(conversion("m/s", "km/h").as_deref(), Some("x * 3.6"));
        assert_eq!(conversion("degC", "K").as_deref(), Some("x + 273.15"));
        assert_eq!(conversion("K", "deg_C").as_deref(), Some("x - 273.15"));
        assert_eq!(conversion("psi", "Pa").as_deref(), Some("x * 6894.757293168"));
        assert_eq!(conversion("deg", "arcsec").as_deref(), Some("x * 3600.0"));
        assert_eq!(conversion("l/h", "liter/minute").as_deref(), Some("x * 0.01666666666667"));
        assert!(same("deg/second", "deg/s") && same("newton*meter", "N m"));
        assert_eq!(conversion("deg", "Pa"), None);
        assert_eq!(factors("K", "degC"), Some((1.0, -273.15)));
        assert_eq!((factors("%", "percent"), factors("%", "m")), (Some((1.0, 0.0)), None));
        assert!(same("deg_C", "celsius") && same("m / s", "m/s") && !same("K", "degC"));
    }
}
