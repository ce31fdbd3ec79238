//! The stateful functions, each by an alarm that is its value.

use salobj::Value;

use super::bench::Bench;

/// An alarm whose severity is `condition ? 2 : 1`, with the wind in m/s and its send stamp.
fn bench(condition: &str) -> Bench {
    Bench::new(&format!(
        "rules:\n  - name: S\n    inputs:\n      wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}\n      \
         other: {{topic: \"ESS:301.evt_heartbeat\"}}\n    alarm:\n      severity: \"{condition} ? 2 : 1\"\n      reason: x\n"
    ))
}

/// The severity after each value, one a second; `N`, `W`, or `.` for nothing new said.
fn played(condition: &str, values: &[f64]) -> String {
    let mut bench = bench(condition);
    let mut told = String::new();
    for (k, value) in values.iter().enumerate() {
        bench.at(k as f64).wind(*value);
        let severities: Vec<String> = bench.take().into_iter().filter(|t| !t.starts_with("error")).collect();
        told.push(match severities.last().map(String::as_str) {
            Some("NONE") => 'N',
            Some(_) => 'W',
            None => '.',
        });
    }
    told
}

const NAN: f64 = f64::NAN;

#[test]
fn each_function_by_example() {
    for (condition, values, expected) in [
        ("hold(wind > 5.0, 2s)", &[9.0, 9.0, 9.0, 9.0, 1.0][..], "N.W.N"),
        // While it is unknown the clock stands still.
        ("hold(wind > 5.0, 3s)", &[9.0, 9.0, NAN, NAN, 9.0, 9.0, 9.0], "N....W."),
        ("consecutive(wind > 5.0, 3)", &[9.0, 9.0, NAN, 9.0, 9.0, 1.0], "N..W.N"),
        ("count_in(wind > 5.0, 3s) >= 2", &[9.0, 1.0, 9.0, 1.0, 1.0], "N.WN."),
        ("rose(wind > 5.0)", &[9.0, 1.0, 9.0, 9.0, NAN, 9.0], "N.WN.."),
        ("fell(wind > 5.0)", &[9.0, 1.0, 1.0, 9.0, 1.0], "NWN.W"),
        ("changed(wind)", &[1.0, 1.0, 2.0, 2.0, NAN, 3.0], "N.WN.W"),
        ("wind > prev(wind)", &[1.0, 2.0, 2.0, 1.0, 5.0], ".WN.W"),
        ("unchanged_for(wind) >= 2s", &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], "N.WN.W"),
        ("elapsed(wind > 5.0) >= 2s", &[1.0, 9.0, 9.0, 9.0, 1.0], "N..WN"),
        ("counter(wind > 5.0, wind < 2.0, wind == 3.0) >= 2", &[9.0, 9.0, 1.0, 9.0, 3.0, 9.0], "NWNWN."),
        ("then(wind > 8.0, wind < 2.0, 2s)", &[9.0, 5.0, 1.0, 1.0, 9.0, 5.0, 5.0, 1.0], "N.WN...."),
        ("hold(rose(wind > 5.0) || wind > 5.0, 1s)", &[1.0, 9.0, 9.0, 1.0], "N.WN"),
    ] {
        assert_eq!(played(condition, values), expected, "{condition}");
    }
}

#[test]
fn as_of_looks_back() {
    let text = "rules:\n  - name: S\n    inputs:\n      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}\n      \
                beat: {topic: \"ESS:301.evt_heartbeat\", field: private_sndStamp}\n    alarm:\n      \
                severity: \"as_of(wind, beat) > 5.0 ? 2 : 1\"\n      reason: x\n";
    let mut bench = Bench::new(text);
    for (at, speed) in [(0.0, 9.0), (10.0, 1.0), (20.0, 1.0)] {
        bench.at(at).wind(speed);
    }
    bench.take();
    let stamp = |seconds: f64| [("private_sndStamp", Value::Double(seconds))];
    let start = bench.start.0;
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start + 9.0));
    assert_eq!(bench.take(), ["error: -", "WARNING x"]);
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start + 11.0));
    assert_eq!(bench.take(), ["NONE"]);
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start - 1.0));
    assert_eq!(bench.take(), ["error: not enough was seen yet"]);
}

#[test]
fn what_is_remembered_survives_a_checkpoint() {
    let condition = "consecutive(wind > 5.0, 3) || hold(wind > 8.0, 5s)";
    let values = [6.0, 6.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let unbroken = played(condition, &values);
    for cut in 0..values.len() {
        let mut bench = bench(condition);
        let mut told = String::new();
        for (k, value) in values.iter().enumerate() {
            if k == cut {
                let saved = bench.engine.checkpoint("S").unwrap().to_string();
                let now = bench.now;
                let mut fresh = self::bench(condition);
                fresh.now = now;
                assert!(fresh.engine.restore("S", &serde_json::from_str(&saved).unwrap()));
                bench = fresh;
            }
            bench.at(k as f64).wind(*value);
            let last = bench.take().into_iter().rfind(|t| !t.starts_with("error"));
            told.push(match last.as_deref() {
                Some("NONE") => 'N',
                Some(_) => 'W',
                None => '.',
            });
        }
        assert_eq!(told, unbroken, "cut before message {cut}");
    }
}
