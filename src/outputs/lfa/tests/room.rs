//! Room on disk: what may wait is bounded, copies go when room is needed, a full disk loses nothing that was taken.

use super::*;

/// More than half of a spool of one megabyte.
const LARGE: usize = 600 << 10;

fn small_spool() -> LfaConfig {
    LfaConfig { spool_mb: 1, ..config() }
}

#[tokio::test]
async fn when_it_is_full_files_of_steps_are_refused_and_that_is_told() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    sim.go_away();
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &small_spool())));
    while_running(&lfa, &ear, async {
        let first = keep(&lfa, "a.bin", &[1; LARGE]).await.unwrap();
        let refused = keep(&lfa, "b.bin", &[2; LARGE]).await.unwrap_err().to_string();
        assert!(refused.contains("there is no room: 1 files (614400 bytes) wait for the LFA"), "{refused}");
        assert!(!dir.path().join(format!("reports/files/{RUN}/isr_7__1/b.bin")).exists());
        // A report stays in the folder.
        let name = "20261120/R_0123456789abcdef.html";
        ReportFolder::new(dir.path().join("reports")).write(name, vec![b' '; LARGE]).unwrap();
        let at = lfa.report(name, RUN, "R", Clock::System.now()).await;
        assert_eq!(at, ReportUrl::Now(format!("{OWN}/{name}")));
        ear.until("told", |heard| heard.news.iter().any(|n| n.1.contains("2 files were not kept"))).await;
        sim.come_back().await.unwrap();
        ear.until_events(1).await;
        until_state(&lfa, "noted", |s| s.waiting == 0).await;
        // There is room again, and the copy of the first has to go for it.
        let second = keep(&lfa, "b.bin", &[2; LARGE]).await.unwrap();
        ear.until_events(2).await;
        let urls: Vec<String> = ear.events().into_iter().map(|event| event.url).collect();
        assert_eq!(urls, [first.url.clone(), second.url]);
        let copy = dir.path().join(format!("reports/files/{RUN}/isr_7__1/a.bin"));
        assert!(!copy.exists());
        assert_eq!(keep(&lfa, "a.bin", &[1; LARGE]).await.unwrap(), first, "it is known where it is");
        assert_eq!(lfa.state().borrow().lost, 2);
    })
    .await;
    let over = keep(&lfa, "c.bin", &[3; 2 << 20]).await.unwrap_err().to_string();
    assert!(over.contains("1048576 bytes may wait (lfa.spool_mb), this one has 2097152"), "{over}");
}

#[tokio::test]
async fn on_a_full_disk_a_file_is_refused_whole() {
    let (dir, ear, sim) = (tempfile::tempdir().unwrap(), Ear::default(), server().await);
    let lfa = open(dir.path());
    lfa.set(Some(client(&sim, &config())));
    let folder = dir.path().join(format!("reports/files/{RUN}/isr_7__1"));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("a.json.new")).unwrap();
    while_running(&lfa, &ear, async {
        let refused = keep(&lfa, "a.json", b"{}").await.unwrap_err().to_string();
        assert!(refused.contains("No space left"), "{refused}");
        ear.until("told", |heard| heard.news.iter().any(|n| n.1.contains("1 files were not kept"))).await;
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        keep(&lfa, "a.json", b"{}").await.unwrap();
        ear.until_events(1).await;
        until_state(&lfa, "noted", |s| s.waiting == 0 && s.waiting_bytes == 0).await;
    })
    .await;
    assert_eq!(ear.events().len(), 1);
}
