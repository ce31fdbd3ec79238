//! The address of a report: the one in the LFA if it is there soon, else first the Catcher's own.

use salobj::Tai;

use super::*;
use crate::sim::peer::Fault;
use crate::sim::s3::SLOW_DOWN;

const NAME: &str = "20261120/Wind.Forecast_0123456789abcdef.html";

fn at() -> Tai {
    Tai(Tai::from_utc_iso("2026-11-20T23:53:23.319").unwrap().utc_unix())
}

/// Writes a report as the reporter does, and hands it over.
async fn report(dir: &Path, lfa: &Lfa) -> ReportUrl {
    ReportFolder::new(dir.join("reports")).write(NAME, "<p>windy").unwrap();
    lfa.report(NAME, RUN, "Wind.Forecast", at()).await
}

fn own() -> String {
    format!("{OWN}/{NAME}")
}

fn told(ear: &Ear) -> Vec<String> {
    ear.heard().reports.into_iter().map(|(_, url)| url).collect()
}

#[tokio::test]
async fn it_is_told_when_it_is_there() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    let url = while_running(&lfa, &ear, async {
        assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Later);
        ear.until("told", |heard| heard.reports.len() == 1).await;
        ear.heard().reports[0].clone().1
    })
    .await;
    let key = "Catcher:3/Wind.Forecast_report/2026/11/20/\
               Catcher:3_Wind.Forecast_report_2026-11-20T23:53:23.319_0123456789abcdef.html";
    assert_eq!(key_of(&url), key);
    assert_eq!(ear.heard().reports, [(RUN.to_owned(), url.clone())]);
    let events = ear.events();
    assert_eq!((events.len(), &events[0].url, events[0].mime_type.as_str()), (1, &url, "text/html"));
    assert_eq!(events[0].generator, "Wind.Forecast_report");
    assert!(dir.path().join("reports").join(NAME).exists(), "reports stay in the folder");
    // Written again after a crash: it is known, and where.
    assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Now(url));
    assert_eq!(sim.count("PUT"), 1);
}

#[tokio::test]
async fn while_the_lfa_is_away_the_own_address_comes_first() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    sim.fail("PUT", 1, Fault::Status(503, SLOW_DOWN.to_owned()));
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    while_running(&lfa, &ear, async {
        assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Later);
        ear.until("told twice", |heard| heard.reports.len() == 2).await;
    })
    .await;
    let told = told(&ear);
    assert_eq!((told[0].clone(), told[1].clone()), (own(), ear.events()[0].url.clone()));
}

#[tokio::test]
async fn nobody_waits_longer_than_the_patience() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    sim.fail("PUT", 1, Fault::Hang);
    let lfa = open_with(dir.path(), LfaOptions { patience: Duration::from_millis(50), ..options() });
    lfa.set(Some(client(&sim, &LfaConfig { timeout_s: 60.0, ..config() })));
    while_running(&lfa, &ear, async {
        assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Later);
        ear.until("the own address", |heard| heard.reports.len() == 1).await;
        assert!(ear.events().is_empty());
        sim.release();
        ear.until("the lasting address", |heard| heard.reports.len() == 2).await;
    })
    .await;
    assert_eq!(told(&ear), [own(), ear.events()[0].url.clone()]);
}

#[tokio::test]
async fn after_a_restart_it_is_told_when_it_is_there() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Later);
    drop(lfa);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    while_running(&lfa, &ear, ear.until("told", |heard| heard.reports.len() == 1)).await;
    assert_eq!(told(&ear), [ear.events()[0].url.clone()]);
}

#[tokio::test]
async fn without_an_lfa_its_own_address_is_told_at_once() {
    let (dir, ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let lfa = open(dir.path());
    while_running(&lfa, &ear, async {
        assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Now(own()));
        ear.until_events(1).await;
    })
    .await;
    assert_eq!(ear.events()[0].url, own());
    assert!(ear.heard().reports.is_empty());
    assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Now(own()));
}

#[tokio::test]
async fn one_that_cannot_go_is_where_the_catcher_serves_it() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    sim.fail("PUT", 1, Fault::Status(413, String::new()));
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    while_running(&lfa, &ear, async {
        assert_eq!(report(dir.path(), &lfa).await, ReportUrl::Later);
        ear.until("told", |heard| heard.reports.len() == 1).await;
    })
    .await;
    assert_eq!(told(&ear), [own()]);
    assert!(ear.events().is_empty() && ear.heard().news[0].1.contains("does not take a file"));
}
