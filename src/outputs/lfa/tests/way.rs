//! The way of a file of a step, with each fault of a server.

use salobj::Tai;

use super::*;
use crate::sim::peer::Fault;
use crate::sim::s3::{SLOW_DOWN, SimObject};

#[tokio::test]
async fn without_an_lfa_the_folder_is_it() {
    let (dir, ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let lfa = open(dir.path());
    // The CSC has not started yet.
    ear.with(|heard| heard.deaf = 2);
    let url = format!("{OWN}/files/{RUN}/isr_7__1/a.json");
    while_running(&lfa, &ear, async {
        let file = keep(&lfa, "a.json", b"{}").await.unwrap();
        assert_eq!(file, StepFile { name: "a.json".into(), url: url.clone(), bytes: 2 });
        ear.until_events(1).await;
        let again = keep(&lfa, "a.json", b"other").await.unwrap();
        assert_eq!(again, file, "what is kept stays");
        until_state(&lfa, "noted", |s| s.waiting == 0).await;
    })
    .await;
    drop(lfa);
    let lfa = open(dir.path());
    while_running(&lfa, &ear, async {
        let from = dir.path().join("from");
        std::fs::write(&from, "three").unwrap();
        let other = lfa.keep(&step("isr[8]"), "b.fits", Content::File(&from)).await.unwrap();
        assert_eq!(other.bytes, 5);
        let gone = lfa.keep(&step("isr"), "c", Content::File(&dir.path().join("gone"))).await.unwrap_err();
        assert!(gone.to_string().starts_with("file c could not be kept"), "{gone}");
        ear.until_events(2).await;
    })
    .await;
    let events = ear.events();
    assert_eq!(events.len(), 2, "each file once, over a restart too");
    let expected = Announcement {
        url,
        generator: "isr".into(),
        bytes: 2,
        check_sum: "99914b932bd37a50b983c5e7c90ae93b".into(),
        mime_type: "application/json".into(),
        id: RUN.into(),
    };
    assert_eq!(events[0], expected);
    assert_eq!(events[1].mime_type, "application/fits");
    assert_eq!(lfa.state().borrow().lost, 0);
}

#[tokio::test]
async fn a_file_is_stored_then_announced_and_its_address_is_known_before() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    let before = Tai::from_utc_unix(Clock::System.now().utc_unix());
    let file = keep(&lfa, "a.json", b"{}").await.unwrap();
    assert!(ear.events().is_empty());
    while_running(&lfa, &ear, ear.until_events(1)).await;
    let events = ear.events();
    assert_eq!(events[0].url, file.url);
    let key = key_of(&file.url);
    let (head, time) = key.split_once(&format!("Catcher:3_isr_{}", &before.tai_iso()[..10])).unwrap();
    let day = key::key("Catcher:3", "isr", before, None, "");
    assert_eq!(head, day.rsplit_once('/').map(|(head, _)| format!("{head}/")).unwrap());
    assert!(time.ends_with(&format!("_{RUN}_isr_7__1_a.json")), "{key}");
    let object = sim.play(|play| play.objects[&key].clone());
    assert_eq!((object.bytes.as_slice(), object.mime.as_str()), (&b"{}"[..], "application/json"));
    assert_eq!((events[0].check_sum.as_str(), events[0].bytes), (object.tag.as_str(), 2));
    assert_eq!(keep(&lfa, "a.json", b"{}").await.unwrap(), file);
    assert_eq!(sim.count("PUT"), 1);
}

#[tokio::test]
async fn it_waits_on_disk_while_the_lfa_is_away_and_over_a_restart() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let config = config();
    sim.go_away();
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config)));
    let files = while_running(&lfa, &ear, async {
        let mut files = Vec::new();
        for n in 0..10 {
            files.push(keep(&lfa, &format!("{n}.txt"), format!("text {n}").as_bytes()).await.unwrap().url);
        }
        ear.until("the operators hear of it", |heard| !heard.news.is_empty()).await;
        files
    })
    .await;
    assert!(ear.events().is_empty(), "no event before the file is there");
    assert!(lfa.state().borrow().last_error.as_ref().unwrap().contains("not available"));
    drop(lfa);
    let lfa = open(dir.path());
    assert_eq!(lfa.state().borrow().waiting, 10);
    lfa.set(Some(client(&sim, &config)));
    while_running(&lfa, &ear, async {
        until_state(&lfa, "tried", |s| s.failures >= 4).await;
        sim.come_back().await.unwrap();
        ear.until_events(10).await;
        until_state(&lfa, "noted", |s| s.waiting == 0 && s.waiting_bytes == 0 && s.failures == 0).await;
    })
    .await;
    let mut urls: Vec<String> = ear.events().into_iter().map(|event| event.url).collect();
    // What was tried is tried again after the others.
    urls.sort();
    assert_eq!(urls, files, "each once, where it was said");
    assert!(sim.play(|play| play.objects.len() == 10 && play.replaced().is_empty()));
    let news: Vec<(bool, String)> = ear.heard().news.into_iter().map(|n| (n.0, n.1)).collect();
    let (bad, good) =
        ((true, "The LFA does not take files".to_owned()), (false, "The LFA takes files again".to_owned()));
    assert_eq!(news, [bad.clone(), bad, good]);
}

/// What the server does, and how it ends: one object, one event.
#[tokio::test]
async fn each_fault_ends_with_one_object_and_one_event() {
    let xml = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    let faults = [
        ("slow down", Fault::Status(503, SLOW_DOWN.to_owned())),
        ("too many", Fault::Status(429, String::new())),
        ("internal", Fault::Status(500, xml("InternalError"))),
        ("conflict", Fault::Status(409, xml("ConditionalRequestConflict"))),
        ("a proxy's page", Fault::Garbage("<html>busy</html>".to_owned())),
        ("slow", Fault::Slow(Duration::from_millis(300))),
        ("hangs", Fault::Hang),
        ("hangs after", Fault::HangAfter),
        ("lost answer", Fault::LostAnswer),
        ("half an answer", Fault::HalfBody),
        ("twice", Fault::Twice),
    ];
    for (name, fault) in faults {
        let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
        sim.fail("PUT", 2, fault);
        let lfa = open(dir.path());
        lfa.set(Some(client(&sim, &LfaConfig { timeout_s: 1.0, ..config() })));
        let file = keep(&lfa, "a.json", b"{}").await.unwrap();
        while_running(&lfa, &ear, async {
            ear.until_events(1).await;
            keep(&lfa, "b.json", b"[]").await.unwrap();
            ear.until_events(2).await;
            until_state(&lfa, name, |s| s.waiting == 0 && s.failures == 0).await;
        })
        .await;
        sim.release();
        let urls: Vec<String> = ear.events().into_iter().map(|event| event.url).collect();
        assert_eq!((urls.len(), &urls[0]), (2, &file.url), "{name}");
        sim.play(|play| {
            assert_eq!(play.replaced(), Vec::<&String>::new(), "{name}");
            assert_eq!(play.objects[&key_of(&file.url)].bytes, b"{}", "{name}");
        });
    }
}

#[tokio::test]
async fn an_object_of_others_stays_and_the_file_is_put_aside() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    let file = keep(&lfa, "a.json", b"{}").await.unwrap();
    let foreign = |bytes: &[u8]| SimObject { bytes: bytes.to_vec(), mime: "x".into(), tag: "other".into() };
    sim.play(|play| play.objects.insert(key_of(&file.url), foreign(b"[]")));
    while_running(&lfa, &ear, async {
        until_state(&lfa, "put aside", |s| s.refused == 1).await;
        let same = keep(&lfa, "same.json", b"null").await.unwrap();
        ear.until_events(1).await;
        assert_eq!(ear.events()[0].url, same.url, "the others go on");
    })
    .await;
    assert_eq!(sim.play(|play| play.objects[&key_of(&file.url)].bytes.clone()), b"[]");
    let news = ear.heard().news;
    assert!(
        news[0].2.contains("there is another object of that key") && news[0].2.contains("MD5"),
        "{news:?}"
    );
    assert!(dir.path().join(format!("reports/files/{RUN}/isr_7__1/a.json")).exists());
    assert_eq!(keep(&lfa, "a.json", b"{}").await.unwrap().url, format!("{OWN}/files/{RUN}/isr_7__1/a.json"));
}

#[tokio::test]
async fn bad_credentials_are_told_and_nothing_is_lost() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    sim.play(|play| play.denied = true);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    while_running(&lfa, &ear, async {
        keep(&lfa, "a.json", b"{}").await.unwrap();
        ear.until("told", |heard| !heard.news.is_empty()).await;
        sim.play(|play| play.denied = false);
        ear.until_events(1).await;
    })
    .await;
    let told = ear.heard().news[0].2.clone();
    assert!(told.contains("AccessDenied") && told.contains("check its credentials"), "{told}");
    // A bucket that is not there, and then the right one.
    let wrong = LfaConfig { instance: Some("none".to_owned()), ..config() };
    lfa.set(Some(client(&sim, &wrong)));
    let file = while_running(&lfa, &ear, async {
        let file = keep(&lfa, "b.json", b"{}").await.unwrap();
        until_state(&lfa, "refused", |s| s.last_error.as_ref().is_some_and(|e| e.contains("NoSuchBucket")))
            .await;
        lfa.set(Some(client(&sim, &config())));
        ear.until_events(2).await;
        file
    })
    .await;
    assert_ne!(ear.events()[1].url, file.url);
    assert!(sim.play(|play| play.objects.contains_key(&key_of(&ear.events()[1].url))));
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    let content: Vec<u8> = (0..18_u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(content.len(), 18 << 20);
    let file = keep(&lfa, "large.fits", &content).await.unwrap();
    let path = file.url.strip_prefix(&sim.url()).unwrap();
    sim.fail("PUT", 1, Fault::Status(503, SLOW_DOWN.to_owned()));
    sim.fail(&format!("POST {path}?uploadId"), 1, Fault::LostAnswer);
    while_running(&lfa, &ear, ear.until_events(1)).await;
    let object = sim.play(|play| play.objects[&key_of(&file.url)].clone());
    assert!(object.bytes == content && object.mime == "application/fits" && object.tag.ends_with("-3"));
    assert_eq!(ear.events()[0].bytes, 18 << 20);
    assert_eq!(sim.faults_left(), 0);
    let tidy = sim.play(|play| play.aborted == 1 && play.unfinished() == 0 && play.replaced().is_empty());
    assert!(tidy, "the first try took its parts away, the second was whole though its answer was lost");

    // There already, as after an answer that was lost: looked at, not sent again.
    let same = keep(&lfa, "same.fits", &content).await.unwrap();
    sim.play(|play| play.objects.insert(key_of(&same.url), object));
    let parts = sim.count("PUT");
    while_running(&lfa, &ear, ear.until_events(2)).await;
    assert_eq!((sim.count("PUT"), ear.events()[1].url.clone()), (parts, same.url));
}

#[tokio::test]
async fn a_file_that_was_changed_or_is_gone_is_put_aside() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    keep(&lfa, "changed.json", b"{}").await.unwrap();
    keep(&lfa, "gone.json", b"{}").await.unwrap();
    let folder = dir.path().join(format!("reports/files/{RUN}/isr_7__1"));
    std::fs::write(folder.join("changed.json"), "[]").unwrap();
    std::fs::remove_file(folder.join("gone.json")).unwrap();
    while_running(&lfa, &ear, until_state(&lfa, "put aside", |s| s.refused == 2)).await;
    let news = ear.heard().news;
    assert!(news[0].2.contains("it was changed on disk") && news[1].2.contains("it is gone"), "{news:?}");
    assert!(ear.events().is_empty() && sim.play(|play| play.objects.is_empty()));
}
