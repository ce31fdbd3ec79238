//! 215 rules as a site has them: 174 of two templates, each for one component, and 41 on telemetry and images.

use std::fmt::Write as _;
use std::sync::Arc;

use catcher::rules::{Rule, SourceFile, compile};

/// Components that the two templates watch: one SAL index of the ESS stands for each.
pub(crate) const COMPONENTS: u64 = 87;

/// The rules, compiled.
pub(crate) fn compiled() -> anyhow::Result<Vec<Arc<Rule>>> {
    let file = SourceFile { name: "throughput.yaml".into(), text: text() };
    compile(&file, &sal_idl::Library::embedded())
        .map_err(|all| anyhow::anyhow!("{}", all.iter().map(|d| d.render(false)).collect::<String>()))
}

/// The rule file.
fn text() -> String {
    let mut text = String::from("rules:\n");
    for n in 1..=COMPONENTS {
        rule(
            &mut text,
            &format!("Enabled.C{n}"),
            &format!("state: {{topic: \"ESS:{n}.evt_summaryState\"}}"),
            "levels: {serious: \"state.summaryState == 3\", warning: \"state.summaryState != 2\"}",
        );
        rule(
            &mut text,
            &format!("Heartbeat.C{n}"),
            &format!("beat: {{topic: \"ESS:{n}.evt_heartbeat\"}}"),
            "levels: {warning: \"absent(beat, 60s)\"}",
        );
    }
    let telemetry = [
        ("Wind", 12, "ESS:1.tel_airFlow", "speed"),
        ("Temperature", 8, "ESS:1.tel_temperature", "\"temperatureItem[0]\""),
        ("Pressure", 5, "ESS:1.tel_pressure", "\"pressureItem[0]\""),
        ("Encoder", 6, "ATMCS.tel_mount_AzEl_Encoders", "\"elevationCalculatedAngle[0]\""),
    ];
    for (name, count, topic, field) in telemetry {
        for n in 0..count {
            // Every third looks at a median over a minute, the others at the latest value.
            let window = if n % 3 == 2 { ", window: 60s, reduce: median" } else { "" };
            rule(
                &mut text,
                &format!("{name}.L{n}"),
                &format!("x: {{topic: \"{topic}\", field: {field}{window}}}"),
                &format!(
                    "value: x\n      levels: {{warning: {}, critical: 30}}\n      hysteresis: 0.5",
                    10 + n
                ),
            );
        }
    }
    for (component, count) in [("ATCamera", 5), ("MTCamera", 5)] {
        for n in 0..count {
            let body = format!(
                "  - name: Image.{component}{n}\n    description: A job for long exposures\n    inputs:\n      image: {{topic: \"{component}.evt_endReadout\"}}\n    trigger: {{each: image, when: \"image.requestedExposureTime > {}.0\"}}\n    budget: {{runs_per_hour: 1000000, commands_per_minute: 1000000, evaluations_per_second: 100000000}}\n    tasks:\n      job:\n        ocps: {{index: 1, pipeline: \"isr.yaml\", data_query: \"exposure='{{{{ image.imageName }}}}'\"}}\n",
                15 + n
            );
            text.push_str(&body);
        }
    }
    text
}

fn rule(text: &mut String, name: &str, input: &str, alarm: &str) {
    writeln!(
        text,
        "  - name: {name}\n    description: As the Watcher has it\n    budget: {{evaluations_per_second: 100000000}}\n    inputs:\n      {input}\n    alarm:\n      {alarm}"
    )
    .expect("a string grows");
}
