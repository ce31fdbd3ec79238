//! A bad rule does not hurt the others: one that evaluates too often, takes too long or breaks down is stopped, with the
//! reason. It begins again when it is enabled.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state::RuleState;
use crate::rules::flow::Effect;

/// Gives the time in nanoseconds since some fixed moment. The engine has no clock of its own: who runs it live may lend
/// it one, so that slow rules are found.
pub type Stopwatch = fn() -> u64;

/// One evaluation of so many is timed; a prime, so that it is not always the same rule.
pub(super) const TIMED_OF: u64 = 61;
/// So many slow ones in a row are too many: a single one may be the machine's fault.
const SLOW_IN_A_ROW: u32 = 3;

/// How often a rule is evaluated, by the stamps of what it reads, and how long that takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    second: f64,
    count: u32,
    slow: u32,
}

impl RuleState {
    /// Counts an evaluation; false if it is one too many within a second of the senders' time.
    #[inline]
    pub(super) fn may_evaluate(&mut self, sent: f64, out: &mut Vec<Effect>) -> bool {
        if sent - self.pace.second >= 1.0 || sent < self.pace.second - 1.0 {
            self.pace.second = sent;
            self.pace.count = 0;
        }
        self.pace.count += 1;
        let limit = self.rule.budget.evaluations_per_second;
        if self.pace.count <= limit {
            return true;
        }
        self.stop(format!("more than {limit} evaluations within a second, as the budget allows"), out);
        false
    }

    /// Evaluates, and catches what breaks down; `watch` if this one is timed.
    #[inline]
    pub(super) fn guarded(
        &mut self,
        watch: Option<Stopwatch>,
        out: &mut Vec<Effect>,
        evaluate: impl FnOnce(&mut RuleState, &mut Vec<Effect>),
    ) {
        let begun = watch.map(|watch| watch());
        let told = out.len();
        // What a rule that broke down has left half-done is its own: it is stopped, and its state is made anew when it
        // is enabled.
        let done = catch_unwind(AssertUnwindSafe(|| evaluate(self, out)));
        if let Err(panic) = done {
            out.truncate(told);
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            self.broken = true;
            self.stop(format!("its evaluation broke down: {text}"), out);
            return;
        }
        if let (Some(watch), Some(begun)) = (watch, begun) {
            self.took(watch().saturating_sub(begun), out);
        }
    }

    fn took(&mut self, elapsed_ns: u64, out: &mut Vec<Effect>) {
        let limit = self.rule.budget.evaluation_time;
        if u128::from(elapsed_ns) <= limit.as_nanos() {
            self.pace.slow = 0;
            return;
        }
        self.pace.slow += 1;
        if self.pace.slow >= SLOW_IN_A_ROW {
            self.pace.slow = 0;
            let (took, allowed) = (elapsed_ns as f64 * 1e-6, limit.as_secs_f64() * 1e3);
            self.stop(format!("an evaluation takes {took:.1} ms, the budget allows {allowed} ms"), out);
        }
    }

    /// No further evaluation until the rule is enabled. Its alarm stays as it is: that it is not watched any more is no
    /// reason to call it off.
    fn stop(&mut self, reason: String, out: &mut Vec<Effect>) {
        self.enabled = false;
        self.withdraw(out);
        self.quarantined = Some(reason.clone());
        out.push(Effect::Quarantine { rule: self.rule.clone(), reason });
        self.tell_error(out);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use salobj::{Tai, Value};

    use crate::alarms::Severity;
    use crate::rules::flow::{Effect, FieldNeed, Input, Sample, TopicId};
    use crate::rules::{Engine, Rule, SourceFile, compile};

    const RULES: &str = r#"
rules:
  - name: First
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    budget: {evaluations_per_second: 20, evaluation_time: 10ms}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Second
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
"#;

    fn engine() -> Engine {
        let file = SourceFile { name: "guard.yaml".into(), text: RULES.into() };
        Engine::new(&compile(&file, &sal_idl::Library::embedded()).unwrap(), Tai(0.0))
    }

    fn send(engine: &mut Engine, at: f64, wind: f64) -> Vec<Effect> {
        let mut out = Vec::new();
        let sample = Sample {
            topic: TopicId(0),
            sal_index: 301,
            sent: Tai(at),
            received: Tai(at),
            partition: 0,
            offset: 0,
            cells: &[Value::Double(wind)],
        };
        engine.step(Input::Sample(&sample), Tai(at), &mut out);
        out
    }

    fn reason(engine: &Engine, rule: &str) -> Option<String> {
        engine.status(rule).unwrap().quarantined
    }

    #[test]
    fn a_rule_that_evaluates_too_often_is_stopped_and_the_others_go_on() {
        let mut engine = engine();
        for k in 0..100 {
            send(&mut engine, 10.0 + f64::from(k) * 0.1, 5.0);
        }
        assert_eq!(reason(&engine, "First"), None, "10 a second are allowed");
        for k in 0..21 {
            send(&mut engine, 30.0 + f64::from(k) * 0.01, 5.0);
        }
        assert!(reason(&engine, "First").unwrap().contains("more than 20 evaluations"));
        let told = send(&mut engine, 31.0, 15.0);
        let alarms: Vec<&str> = told
            .iter()
            .filter_map(
                |e| if let Effect::SetSeverity { alarm, .. } = e { Some(alarm.as_str()) } else { None },
            )
            .collect();
        assert_eq!(alarms, ["Second"]);
        let mut out = Vec::new();
        engine.step(Input::SetEnabled { rule: "First", enabled: true }, Tai(32.0), &mut out);
        assert_eq!(reason(&engine, "First"), None);
        assert!(out.iter().any(|e| matches!(e, Effect::SetSeverity { .. })), "judged at once");
    }

    #[test]
    fn samples_that_come_late_in_one_go_are_counted_by_their_own_time() {
        let mut engine = engine();
        for k in 0..1000 {
            let mut out = Vec::new();
            let sample = Sample {
                topic: TopicId(0),
                sal_index: 301,
                sent: Tai(f64::from(k) * 0.1),
                received: Tai(1000.0),
                partition: 0,
                offset: k.into(),
                cells: &[Value::Double(1.0)],
            };
            engine.step(Input::Sample(&sample), Tai(1000.0), &mut out);
        }
        assert_eq!(reason(&engine, "First"), None);
    }

    #[test]
    fn a_rule_that_breaks_down_is_stopped_and_the_others_go_on() {
        let mut engine = engine();
        send(&mut engine, 1.0, 5.0);
        engine.states[0].memory.push(Default::default());
        let told = send(&mut engine, 2.0, 15.0);
        assert!(reason(&engine, "First").unwrap().contains("broke down"), "{told:?}");
        assert!(told.iter().any(|e| matches!(e, Effect::SetSeverity { alarm, .. } if alarm == "Second")));
        let mut out = Vec::new();
        engine.step(Input::SetEnabled { rule: "First", enabled: true }, Tai(3.0), &mut out);
        send(&mut engine, 4.0, 5.0);
        let told = send(&mut engine, 5.0, 15.0);
        assert!(
            told.iter().any(|e| matches!(e, Effect::SetSeverity { alarm, .. } if alarm == "First")),
            "made anew"
        );
    }

    const FILTERED: &str = r#"
rules:
  - name: First
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, filter: "direction > 1.0"}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Keyed
    by: "string(wind.salIndex)"
    inputs: {wind: {topic: "ESS:*.tel_airFlow"}}
    alarm: {value: wind.speed, levels: {warning: 10.0}}
  - name: Second
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
"#;

    /// All cells have this value; those of the filters and keys may be gone.
    fn with_broken(spoil: impl FnOnce(&mut [Arc<Rule>])) -> Engine {
        let file = SourceFile { name: "guard.yaml".into(), text: FILTERED.into() };
        let mut rules = compile(&file, &sal_idl::Library::embedded()).unwrap();
        spoil(&mut rules);
        Engine::new(&rules, Tai(0.0))
    }

    fn send_all(engine: &mut Engine, at: f64, wind: f64, past: bool) -> Vec<Effect> {
        let cell = |need: &FieldNeed| match need.name.as_str() {
            "salIndex" => Value::Int(301),
            _ => Value::Double(wind),
        };
        let cells: Vec<Value> = engine.subscriptions().topics[0].fields.iter().map(cell).collect();
        let sample = Sample {
            topic: TopicId(0),
            sal_index: 301,
            sent: Tai(at),
            received: Tai(at),
            partition: 0,
            offset: at as i64,
            cells: &cells,
        };
        let mut out = Vec::new();
        let input = if past { Input::History(&sample) } else { Input::Sample(&sample) };
        engine.step(input, Tai(at), &mut out);
        out
    }

    fn alarms(told: &[Effect]) -> Vec<&str> {
        let raised = told.iter().filter_map(|e| match e {
            Effect::SetSeverity { alarm, severity, .. } if *severity > Severity::None => Some(alarm.as_str()),
            _ => None,
        });
        raised.collect()
    }

    #[test]
    fn a_filter_that_breaks_down_stops_its_rule_only_live_and_in_the_past() {
        let spoil = |rules: &mut [Arc<Rule>]| {
            let code = &mut Arc::make_mut(&mut rules[0]).code;
            code.inputs[0].filter.as_mut().unwrap().needs.clear();
        };
        let mut engine = with_broken(spoil);
        let told = send_all(&mut engine, 1.0, 15.0, false);
        assert!(reason(&engine, "First").unwrap().contains("broke down"), "{told:?}");
        assert_eq!(alarms(&told), ["Keyed.301", "Second"]);
        let told = send_all(&mut engine, 2.0, 16.0, false);
        let again = |e: &Effect| matches!(e, Effect::Quarantine { .. });
        assert!(!told.iter().any(again), "it is left alone: {told:?}");
        let mut engine = with_broken(spoil);
        send_all(&mut engine, 1.0, 15.0, true);
        assert!(reason(&engine, "First").unwrap().contains("broke down"));
        assert_eq!(reason(&engine, "Second"), None);
    }

    #[test]
    fn a_key_that_breaks_down_stops_its_rule_only_and_its_alarms_stay() {
        let mut engine = with_broken(|_| {});
        send_all(&mut engine, 1.0, 15.0, false);
        engine.states[1].family.as_mut().unwrap().in_order(|member| member.memory.push(Default::default()));
        let told = send_all(&mut engine, 2.0, 16.0, false);
        assert!(reason(&engine, "Keyed").unwrap().contains("broke down"), "{told:?}");
        assert_eq!(alarms(&told), ["First", "Second"]);
        assert_eq!(engine.alarms("Keyed"), ["Keyed.301"]);
        let mut engine = with_broken(|rules| {
            let code = &mut Arc::make_mut(&mut rules[1]).code;
            code.by.as_mut().unwrap().inputs[0].as_mut().unwrap().needs.clear();
        });
        let told = send_all(&mut engine, 1.0, 15.0, false);
        assert!(reason(&engine, "Keyed").unwrap().contains("broke down"), "{told:?}");
        assert_eq!(alarms(&told), ["First", "Second"]);
    }

    #[test]
    fn a_breakdown_while_all_are_judged_or_one_is_enabled_or_explained_hurts_nobody_else() {
        let mut engine = engine();
        send(&mut engine, 1.0, 15.0);
        engine.states[0].memory.push(Default::default());
        let mut told = Vec::new();
        engine.reevaluate_all(Tai(2.0), &mut told);
        assert!(reason(&engine, "First").unwrap().contains("broke down"));
        assert_eq!(alarms(&told), ["Second"]);
        engine.states[0].cells.clear();
        let explanation = engine.explain("First", None, Tai(3.0)).unwrap();
        assert!(explanation.decision.contains("broke down"), "{}", explanation.decision);
        engine.states[1].memory.push(Default::default());
        let mut told = Vec::new();
        engine.step(Input::SetEnabled { rule: "Second", enabled: true }, Tai(4.0), &mut told);
        assert!(reason(&engine, "Second").unwrap().contains("broke down"), "{told:?}");
        engine.step(Input::SetEnabled { rule: "Second", enabled: true }, Tai(5.0), &mut told);
        assert_eq!(reason(&engine, "Second"), None, "made anew");
    }

    thread_local! {
        static TIME: Cell<u64> = const { Cell::new(0) };
    }

    #[test]
    fn a_slow_rule_is_stopped() {
        let mut engine = engine();
        // Every look at this watch is 50 ms later than the one before.
        engine.lend_stopwatch(|| {
            TIME.with(|t| {
                t.set(t.get() + 50_000_000);
                t.get()
            })
        });
        for k in 0..2000 {
            send(&mut engine, f64::from(k), 5.0);
        }
        assert!(reason(&engine, "First").unwrap().contains("an evaluation takes 50.0 ms"));
        assert_eq!(reason(&engine, "Second"), None, "its budget is larger");
    }
}
