//! What LOVE gets to see.

use super::*;

#[tokio::test]
async fn a_browser_sees_every_alarm_whenever_it_comes() {
    let love = FakeManager::start(&[Does::Serve]).await;
    let bench = Bench::start(&love.url(), quick());
    until("it is connected", || bench.tap.figures().connected()).await;
    bench.set("Wind.High", Severity::Serious, "wind 17 m/s");
    bench.set("Dome.Shutter", Severity::None, "");
    until("something was sent", || !love.data().is_empty()).await;

    let mut late = love.browser();
    late.until("the list", |all| severity_is(all, "Wind.High", 3) && severity_is(all, "Dome.Shutter", 1))
        .await;
    bench.set("Wind.High", Severity::Critical, "wind 30 m/s");
    late.until("a change", |all| severity_is(all, "Wind.High", 4)).await;
    assert_eq!(value(&late.alarms["Wind.High"], "reason"), "wind 30 m/s");

    let mut later = love.browser();
    later.until("all of it", |all| severity_is(all, "Wind.High", 4) && all.len() == 2).await;
    assert_eq!(love.asked(), ["/love/manager/producers/ws/subscription/?password=pass+word%261"]);
    assert_eq!(love.members("initial_state-Catcher-all-all"), 1);
    assert_eq!(love.members("initial_state-all-all-all"), 1);
}

#[tokio::test]
async fn who_subscribes_to_single_alarms_only_gets_the_active_ones() {
    let love = FakeManager::start(&[Does::Serve]).await;
    let bench = Bench::start(&love.url(), quick());
    bench.set("A", Severity::Warning, "a");
    bench.set("B", Severity::Critical, "b");
    bench.set("C", Severity::None, "");
    until("the first list", || !love.data().is_empty()).await;
    until("it wants to hear of subscriptions", || love.members("initial_state-Catcher-all-all") > 0).await;
    let before = love.data().len();
    let (channel, mut inbox) = mpsc::unbounded_channel();
    join(&love.groups, "event", "Catcher", "1", "alarm", &channel);
    let mut names = Vec::new();
    while names.len() < 2 {
        let message = inbox.recv().await.unwrap();
        names.push(value(&message["data"][0]["data"]["alarm"][0], "name").as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["B", "A"], "worst first");
    assert!(love.data()[before..].iter().all(|m| m["data"][0]["data"]["stream"].is_null()));
}

#[test]
fn each_field_of_the_event_is_there_with_type_and_unit_and_the_watchers_name() {
    let alarm = AlarmSnapshot { severity: Severity::Serious, acknowledged: true, ..nominal("Wind.High") };
    let now = Tai(1_800_000_037.0);
    let face = face();
    let shown = face.alarm(&alarm, now);
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let fields: BTreeSet<&str> = component
        .topic("evt_alarm")
        .unwrap()
        .fields
        .iter()
        .map(|f| f.name.as_str())
        .chain(["name"])
        .collect();
    assert_eq!(shown.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
    assert_eq!(shown["name"], json!({"value": "Wind.High", "dataType": "String", "units": "unitless"}));
    assert_eq!(shown["name"], shown["alarmName"]);
    assert_eq!(shown["severity"], json!({"value": 3, "dataType": "Int", "units": "unitless"}));
    // As LOVE-producer has it: a boolean is an Int with true or false in it.
    assert_eq!(shown["acknowledged"], json!({"value": true, "dataType": "Int", "units": "unitless"}));
    assert_eq!(shown["timestampUnmute"], json!({"value": 0.0, "dataType": "Float", "units": "second"}));
    assert_eq!(value(&shown, "salIndex"), 1);
    assert_eq!(value(&shown, "private_origin"), 4711);
    assert_eq!(*value(&shown, "private_sndStamp"), now.0);
    assert_eq!(*value(&shown, "private_efdStamp"), now.utc_unix());
    assert!(shown.as_object().unwrap().values().all(|field| !field["value"].is_null()), "{shown:#}");
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let alarm = AlarmSnapshot { reason: "\u{e9}".repeat(3000), ..nominal("A") };
    let shown = face().alarm(&alarm, Tai(0.0));
    assert_eq!(value(&shown, "reason").as_str().unwrap(), format!("{} ...", "\u{e9}".repeat(2000)));
}

#[test]
fn a_list_is_bounded_and_keeps_what_is_not_nominal() {
    let many = |n: usize| AlarmSnapshot {
        severity: if n == 4999 { Severity::Warning } else { Severity::None },
        ..nominal(&format!("Alarm.{n}"))
    };
    let (message, left_out) = face().list((0..5000).map(many).collect(), Tai(0.0));
    let message: Json = serde_json::from_str(&message).unwrap();
    let all = message["data"][0]["data"]["stream"]["alarms"].as_object().unwrap();
    assert_eq!((all.len(), left_out), (2000, 3000));
    assert_eq!(value(&all["Alarm.4999"], "severity"), 2);
}

#[test]
fn only_what_is_asked_of_this_catcher_is_answered() {
    let face = face();
    let asked = |csc: &str, index: Json, name: &str| {
        let data = json!([{"csc": csc, "salindex": index, "data": {"event_name": name}}]);
        face.asked(&json!({"category": "initial_state", "data": data}).to_string())
    };
    assert_eq!(asked("Catcher", json!(1), "stream"), Some(face::Asked::List));
    assert_eq!(asked("Catcher", json!("all"), "all"), Some(face::Asked::List));
    assert_eq!(asked("Catcher", json!(1), "alarm"), Some(face::Asked::Alarm));
    assert_eq!(asked("Catcher", json!(2), "stream"), None);
    assert_eq!(asked("Watcher", json!(0), "stream"), None);
    assert_eq!(asked("Catcher", json!(1), "summaryState"), None);
    for noise in [
        "",
        "[]",
        "{",
        r#"{"data": "Successfully subscribed"}"#,
        r#"{"category": "initial_state", "data": 3}"#,
    ] {
        assert_eq!(face.asked(noise), None, "{noise}");
    }
}

#[tokio::test]
async fn a_storm_goes_out_as_the_list() {
    let love = FakeManager::start(&[Does::Serve]).await;
    let bench = Bench::start(&love.url(), LinkOptions { list_gap: Duration::from_millis(200), ..quick() });
    let mut browser = love.browser();
    until("the first list", || bench.count(|f| &f.lists) == 1).await;
    for n in 0..500 {
        bench.set(&format!("Storm.{n}"), Severity::Critical, "one cause");
    }
    browser
        .until("all of them", |all| all.len() == 500 && all.values().all(|a| *value(a, "severity") == 4))
        .await;
    assert!(bench.count(|f| &f.alarms) <= 20, "{}", bench.count(|f| &f.alarms));
    assert!(bench.count(|f| &f.lists) <= 4, "{}", bench.count(|f| &f.lists));
}
