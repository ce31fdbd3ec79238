use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use salobj::Tai;

use super::work_folder::Limits;
use super::*;
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::testing::{self, Bench, MemoryShelf};

/// A folder of programs and a backend that may run them.
struct Site {
    dir: tempfile::TempDir,
    shelf: Arc<MemoryShelf>,
    config: CommandConfig,
}

impl Site {
    fn new(programs: &[(&str, &str)]) -> Site {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("programs")).unwrap();
        for (name, text) in programs {
            let path = dir.path().join("programs").join(name);
            // Under another name first: a file that is still open for writing in some child cannot be run.
            let new = dir.path().join("new");
            std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        let folder = dir.path().join("programs").display().to_string();
        let config =
            serde_json::from_value(json!({"folder": folder, "memory_mb": 4096, "file_mb": 1})).unwrap();
        Site { dir, shelf: Arc::default(), config }
    }

    /// A Catcher process; several share the folders.
    fn backend(&self) -> CommandBackend {
        let lookup = |name: &str| (name == "SITE").then(|| "summit".to_owned());
        let clock = Clock::scaled(Tai(1000.0), 1.0);
        let work = self.dir.path().join("work");
        CommandBackend::new(&self.config, work, self.shelf.clone(), &lookup, clock).unwrap()
    }

    async fn run(&self, params: Value) -> Result<StepOutcome, StepError> {
        self.backend().execute(&testing::call("command", params), &Bench::new().handle).await
    }

    /// Appends a line to a file for each time that a program runs.
    fn count(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("count")).unwrap_or_default().lines().count()
    }
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 30 s: {what}");
}

#[tokio::test]
async fn a_program_gets_its_request_and_gives_its_answer_and_files() {
    let echo = r#"
request=$(cat)
echo "$1 and $2" > "$CATCHER_ARTIFACTS/a b.txt"
ln -s /etc/passwd "$CATCHER_ARTIFACTS/link"
echo a word >&2
echo "{\"severity\": \"warning\", \"values\": {\"request\": $request, \"env\": \"$SITE $SECRET $HOME\"}}""#;
    let mut site = Site::new(&[("echo.sh", echo)]);
    site.config.pass_environment = vec!["SITE".into()];
    let outcome =
        site.run(json!({"program": "echo.sh", "args": ["x y", 3], "input": {"a": [1, null]}})).await.unwrap();
    assert_eq!(outcome.result["severity"], 2);
    let request = &outcome.result["values"]["request"];
    assert_eq!(request["input"], json!({"a": [1, null]}));
    assert_eq!(request["rule"], "R");
    let environment = outcome.result["values"]["env"].as_str().unwrap();
    assert!(environment.starts_with("summit  ") && environment.contains("/work"), "{environment}");
    assert_eq!(outcome.result["files"], json!({"a_b.txt": "mem:a_b.txt", "log.txt": "mem:log.txt"}));
    let files = site.shelf.0.lock().unwrap().clone();
    assert_eq!(files[0], ("a_b.txt".to_owned(), b"x y and 3\n".to_vec()));
    assert_eq!(outcome.files.len(), 2, "what a link points at is not taken");
}

#[tokio::test]
async fn how_it_ends_is_told() {
    let site = Site::new(&[
        ("bad.sh", "echo no data >&2; exit 3"),
        ("later.sh", "echo not yet >&2; exit 75"),
        ("chatter.sh", "echo hello"),
        ("large.sh", "head -c 3000000 /dev/zero > \"$CATCHER_ARTIFACTS/zeros\""),
        ("long.sh", "head -c 5000000 /dev/zero"),
        ("killed.sh", "kill -9 $$"),
    ]);
    let table = [
        ("bad.sh", ErrorClass::Permanent, "exit code 3: no data"),
        ("later.sh", ErrorClass::Transient, "later: not yet"),
        ("chatter.sh", ErrorClass::Permanent, "no answer"),
        ("killed.sh", ErrorClass::Permanent, "signal 9"),
        ("none.sh", ErrorClass::Permanent, "no program \"none.sh\" (backends.command lists: bad.sh,"),
    ];
    for (program, class, words) in table {
        let error = site.run(json!({"program": program})).await.unwrap_err();
        assert_eq!(error.class, class, "{program}: {error}");
        assert!(error.text.contains(words), "{program}: {error}");
    }
    for program in ["large.sh", "long.sh"] {
        let error = site.run(json!({"program": program})).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{program}: {error}");
    }
    let backend = site.backend();
    assert!(backend.check(&json!({"program": "bad.sh"})).is_ok());
    assert!(backend.check(&json!({"program": "/bin/sh"})).is_err());
    assert!(backend.check(&json!({"program": "../programs/bad.sh"})).is_err());
}

#[tokio::test]
async fn memory_is_limited() {
    let mut site = Site::new(&[("hungry.sh", "v=x; while :; do v=$v$v; done")]);
    site.config.memory_mb = 64;
    let error = site.run(json!({"program": "hungry.sh"})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
}

#[tokio::test]
async fn a_cancel_ends_the_program_and_all_it_started() {
    let site = Site::new(&[(
        "tree.sh",
        "sleep 600 & echo $! > \"$CATCHER_ARTIFACTS/child\"; trap '' TERM; sleep 600",
    )]);
    let (backend, bench) = (site.backend(), Bench::new());
    let call = testing::call("command", json!({"program": "tree.sh"}));
    let folder = || std::fs::read_dir(site.dir.path().join("work")).ok()?.next()?.ok().map(|e| e.path());
    let child =
        || std::fs::read_to_string(folder()?.join("artifacts/child")).ok()?.trim().parse::<u32>().ok();
    let stopped = async {
        until("the child is there", || child().is_some()).await;
        bench.stop("not needed");
    };
    let (ended, ()) = tokio::join!(backend.execute(&call, &bench.handle), stopped);
    let error = ended.unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (ErrorClass::Aborted, "not needed; the program was ended")
    );
    let child = child().unwrap();
    // A zombie that nobody has collected has no command line.
    let lives = || std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| !line.is_empty());
    until("the child is gone", || !lives()).await;
}

#[tokio::test]
async fn a_cancel_over_which_we_died_goes_on() {
    let site = Site::new(&[("deaf.sh", "trap '' TERM; echo $$ > \"$CATCHER_ARTIFACTS/own\"; sleep 600")]);
    let call = testing::call("command", json!({"program": "deaf.sh"}));
    let folder = || std::fs::read_dir(site.dir.path().join("work")).ok()?.next()?.ok().map(|e| e.path());
    let own = || std::fs::read_to_string(folder()?.join("artifacts/own")).ok()?.trim().parse::<u32>().ok();
    let lives = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    let (backend, bench) = (site.backend(), Bench::new());
    let dies = async {
        until("it runs", || own().is_some()).await;
        bench.stop("not needed");
        until("it is asked to end", || folder().is_some_and(|f| f.join("stopped").exists())).await;
    };
    tokio::select! {
        end = backend.execute(&call, &bench.handle) => panic!("it is deaf: {end:?}"),
        () = dies => {}
    }
    // The shell around it heeds the signal; the program goes on, and is not taken for gone.
    let second = Bench::new();
    second.stop("not needed");
    let error = site.backend().resume(&call, bench.memo(), &second.handle).await.unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (ErrorClass::Aborted, "not needed; the program was ended")
    );
    until("it is gone", || !lives(own().unwrap())).await;
    let error = site.backend().resume(&call, bench.memo(), &Bench::new().handle).await.unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (ErrorClass::Aborted, "the program was ended before the restart")
    );
}

/// One that counts its runs and waits for a file before it ends.
fn patient(site: &Site) -> String {
    let dir = site.dir.path().display();
    format!(
        "echo ran >> {dir}/count; while [ ! -e {dir}/go ]; do sleep 0.02; done; echo '{{\"values\": {{\"x\": 7}}}}'"
    )
}

impl Site {
    fn with_patient() -> Site {
        let mut site = Site::new(&[]);
        let path = site.dir.path().join("programs/patient.sh");
        let new = site.dir.path().join("new");
        std::fs::write(&new, format!("#!/bin/sh\n{}\n", patient(&site))).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
        site.config.memory_mb = 4096;
        site
    }

    /// An earlier process of ours starts the program and dies; what it journaled.
    async fn started_and_died(&self) -> Option<Value> {
        let (backend, bench) = (self.backend(), Bench::new());
        let call = testing::call("command", json!({"program": "patient.sh"}));
        let step = backend.execute(&call, &bench.handle);
        tokio::select! {
            _ = step => panic!("it waits"),
            () = until("it runs", || self.count() > 0) => {}
        }
        bench.memo()
    }

    async fn resume(&self, memo: Option<Value>, again: bool) -> Result<StepOutcome, StepError> {
        let mut call = testing::call("command", json!({"program": "patient.sh"}));
        call.resend_if_unknown = again;
        self.backend().resume(&call, memo, &Bench::new().handle).await
    }

    fn go(&self) {
        std::fs::write(self.dir.path().join("go"), "").unwrap();
    }
}

#[tokio::test]
async fn it_runs_on_over_a_restart_and_is_found_again() {
    for ended_meanwhile in [false, true] {
        let site = Site::with_patient();
        let memo = site.started_and_died().await;
        let folder = site.dir.path().join("work/0123456789abcdef_a_1");
        if ended_meanwhile {
            site.go();
            until("it has ended", || folder.join("exit").exists()).await;
        } else {
            let site = &site;
            let ended = tokio::join!(site.resume(memo.clone(), false), async {
                tokio::time::sleep(Duration::from_millis(150)).await;
                site.go();
            });
            assert_eq!(ended.0.unwrap().result["values"], json!({"x": 7}));
        }
        let outcome = site.resume(memo, false).await.unwrap();
        assert_eq!(outcome.result["values"], json!({"x": 7}));
        assert_eq!(site.count(), 1, "it ran once");
    }
}

#[tokio::test]
async fn one_that_never_started_is_started_and_one_that_vanished_is_not() {
    let site = Site::with_patient();
    site.go();
    // The crash came between the record and the start.
    let never = WorkFolder::make(&site.dir.path().join("work"), &testing::id()).unwrap();
    let memo = Some(json!({"folder": never.name()}));
    assert!(site.resume(memo.clone(), false).await.is_ok());
    assert_eq!(site.count(), 1);
    // That process did get as far as the start after all, late: it finds that it is not to.
    never.write_request(&json!({})).unwrap();
    let limits = Limits { memory_kb: 1 << 22, file_bytes: 1 << 20 };
    let argv = [site.dir.path().join("programs/patient.sh").display().to_string()];
    never.start(&argv, &[], &limits).unwrap().wait().await.unwrap();
    assert_eq!((site.count(), never.exit()), (1, None));
    // Started, and gone without a word: the machine went down.
    let error = site.resume(memo.clone(), false).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome, "{error}");
    assert_eq!(site.count(), 1);
    assert!(site.resume(memo, true).await.is_ok(), "the rule accepts a second time");
    assert_eq!(site.count(), 2);
    let gone = site.resume(Some(json!({"folder": "0123456789abcdef_a_9"})), false).await.unwrap_err();
    assert_eq!(gone.class, ErrorClass::UnknownOutcome);
    let outside = site.resume(Some(json!({"folder": "../programs"})), false).await.unwrap_err();
    assert!(outside.text.contains("no working folder of ours"), "{outside}");
}

#[tokio::test]
async fn after_a_restart_nothing_is_begun_too_late() {
    let site = Site::with_patient();
    let mut call = testing::call("command", json!({"program": "patient.sh"}));
    call.start_before = Tai(900.0);
    let error = site.backend().resume(&call, None, &Bench::new().handle).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert_eq!(site.count(), 0);
}

#[test]
fn every_mistake_of_the_section_is_told() {
    let read = |section: Value| -> Vec<String> {
        let config: CommandConfig = serde_json::from_value(section).unwrap();
        let mut all = config.programs().err().unwrap_or_default();
        all.extend(config.environment(&|_| None).err().unwrap_or_default());
        all
    };
    assert_eq!(read(json!({})).len(), 1);
    let wrong = read(json!({
        "folder": "relative", "programs": {"a": [], "b": ["sh"], "c": ["/nonexistent/x"], "d": ["/bin/sh", "-c", "true"]},
        "pass_environment": ["NOT_SET"],
    }));
    assert_eq!(wrong.len(), 5, "{wrong:#?}");
}

/// The analyses that are shipped, run as a site would. Without a python3 there is nothing to be seen.
#[tokio::test]
async fn the_shipped_analyses_answer() {
    let found = std::process::Command::new("python3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let mut site = Site::new(&[]);
    site.config.folder = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/analyses").into());
    site.config.pass_environment = vec!["PATH".into()];
    site.config.environment = [("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())].into();
    let lookup = |name: &str| std::env::var(name).ok();
    let clock = Clock::scaled(Tai(1000.0), 1.0);
    let work = site.dir.path().join("work");
    let backend = CommandBackend::new(&site.config, work, site.shelf.clone(), &lookup, clock).unwrap();
    let run =
        async |params: Value| backend.execute(&testing::call("command", params), &Bench::new().handle).await;
    let fwhm: Vec<f64> = (0..30).map(|n| 0.8 + 0.01 * f64::from(n)).collect();
    let input = json!({"fwhm": fwhm, "now": 1000.0});
    let outcome = run(json!({"program": "seeing_drift.py", "input": input})).await.unwrap();
    assert!((outcome.result["values"]["drift"].as_f64().unwrap() - 0.6).abs() < 1e-6, "{}", outcome.result);
    let panel = &outcome.plot.as_ref().unwrap().panels[0];
    assert_eq!((panel.unit.as_str(), panel.lines.len()), ("arcsec", 2));
    assert_eq!(outcome.files[0].name, "seeing.csv");
    let outcome =
        run(json!({"program": "detector_outliers.py", "input": {"values": [1, 1, 1, 2]}})).await.unwrap();
    assert_eq!((&outcome.result["severity"], &outcome.result["reason"]), (&json!(2), &json!("outliers: 3")));
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/analyses/tests");
    let own = tokio::process::Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s", tests])
        .output()
        .await
        .unwrap();
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
}
