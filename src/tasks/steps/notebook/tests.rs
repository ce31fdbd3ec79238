use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::lives::{clock, kept, late, text_of, until};
use super::super::testing::{self, Bench, MemoryShelf};
use super::*;
use crate::tasks::call::ErrorClass;

mod real;

/// What papermill does, as far as it is seen from outside: notebook in, notebook out, exit codes and last words. What a
/// notebook does stands in its first cell.
const PAPERMILL: &str = r#"#!/bin/sh
echo ran >> @COUNT@
case "$(cat "$1")" in
    *behaves-patient*) cp "$1" "$2"; while [ ! -e @GO@ ]; do sleep 0.02; done ;;
    *behaves-away*) setsid sleep 600 & echo $! > "$CATCHER_ARTIFACTS/kernel"; cp "$1" "$2"; sleep 600 ;;
    *behaves-raise*) cp @RAISED@ "$2"; echo 'papermill.exceptions.PapermillExecutionError:' >&2; echo 'ValueError: bad' >&2; exit 1 ;;
    *behaves-die*) cp "$1" "$2"; echo 'nbclient.exceptions.DeadKernelError: Kernel died' >&2; exit 138 ;;
    *behaves-nokernel*) echo 'jupyter_client.kernelspec.NoSuchKernel: No such kernel named x' >&2; exit 1 ;;
    *behaves-nothing*) ;;
    *) cp "$1" "$2"; echo 0.85 > "$CATCHER_ARTIFACTS/fwhm.txt"; echo "Executing notebook with kernel: $5" >&2 ;;
esac
"#;

struct Site {
    dir: tempfile::TempDir,
    shelf: Arc<MemoryShelf>,
    config: NotebookConfig,
}

fn code(tag: &str, source: &str, outputs: Value) -> Value {
    json!({"cell_type": "code", "metadata": {"tags": [tag]}, "source": source, "outputs": outputs, "execution_count": null})
}

fn notebook_of(cells: &[Value]) -> String {
    json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {"papermill": {"start_time": "2026-11-20T23:40:00+00:00"}}, "cells": cells}).to_string()
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("notebooks/night")).unwrap();
        for name in ["good", "patient", "away", "raise", "die", "nokernel", "nothing"] {
            let result =
                json!([{"output_type": "display_data", "data": {"application/json": {"fwhm": 0.85}}}]);
            let cells = [
                code("", &format!("# behaves-{name}"), json!([])),
                code("parameters", "day_obs = 20200101", json!([])),
                code("catcher-result", "show(fwhm)", result),
            ];
            std::fs::write(at(&format!("notebooks/night/{name}.ipynb")), notebook_of(&cells)).unwrap();
        }
        let mut raised = code(
            "",
            "f()",
            json!([{"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": ["in f", "ValueError: bad"]}]),
        );
        raised["execution_count"] = json!(3);
        std::fs::write(
            at("raised"),
            notebook_of(&[code("", "1", json!([])), raised, code("", "2", json!([]))]),
        )
        .unwrap();
        let text = PAPERMILL.replace("@COUNT@", &at("count").display().to_string());
        let text = text
            .replace("@GO@", &at("go").display().to_string())
            .replace("@RAISED@", &at("raised").display().to_string());
        std::fs::write(at("new"), text).unwrap();
        std::fs::set_permissions(at("new"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(at("new"), at("papermill")).unwrap();
        let config = json!({"program": [at("papermill")], "notebooks": at("notebooks"), "kernel_name": "lsst", "memory_mb": 4096});
        Site { shelf: Arc::default(), config: serde_json::from_value(config).unwrap(), dir }
    }

    fn backend_at(&self, clock: Clock) -> NotebookBackend {
        let work = self.dir.path().join("work");
        NotebookBackend::new(&self.config, work, Arc::clone(&self.shelf) as _, &|_| None, clock).unwrap()
    }

    fn backend(&self) -> NotebookBackend {
        self.backend_at(clock())
    }

    async fn run(&self, name: &str) -> Result<StepOutcome, StepError> {
        self.backend().execute(&night(name), &Bench::new().handle).await
    }

    /// How often the program ran.
    fn count(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("count")).unwrap_or_default().lines().count()
    }

    /// A file of the one working folder.
    fn work(&self, file: &str) -> Option<String> {
        let folder = std::fs::read_dir(self.dir.path().join("work")).ok()?.next()?.ok()?.path();
        std::fs::read_to_string(folder.join(file)).ok()
    }
}

fn night(name: &str) -> StepCall {
    let params = json!({"notebook": format!("night/{name}.ipynb"), "parameters": {"day_obs": 20261120, "name": "a 'b'"}});
    testing::call("notebook", params)
}

/// A zombie that nobody has collected has no command line.
fn lives(pid: &str) -> bool {
    std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn a_notebook_gets_its_parameters_and_leaves_a_page_and_files() {
    let site = Site::new();
    let outcome = site.run("good").await.unwrap();
    let result = &outcome.result;
    assert_eq!((&result["outcome"], &result["values"]), (&json!("succeeded"), &json!({"fwhm": 0.85})));
    assert_eq!(result["started"], "2026-11-20T23:40:00+00:00");
    assert_eq!(kept(&site.shelf), ["fwhm.txt", "good.html", "good.ipynb", "log.txt"]);
    assert_eq!(outcome.files.len(), 4);
    let page = text_of(&site.shelf, "good.html");
    assert!(page.contains("day_obs = 20261120") && page.contains("name = &quot;a 'b'&quot;"), "{page}");
    assert!(text_of(&site.shelf, "log.txt").contains("with kernel: lsst"));
    let mut call = night("good");
    call.params["kernel_name"] = json!("other");
    Bench::new().run(&site.backend(), &call).await.unwrap();
    assert!(site.shelf.0.lock().unwrap().iter().any(|(_, text)| text.ends_with(b"with kernel: other\n")));
}

#[tokio::test]
async fn the_ends_of_a_notebook_are_told_apart() {
    let site = Site::new();
    for (name, outcome, words) in [
        ("raise", "cell_error", "cell 3 of the notebook raised ValueError: bad"),
        ("die", "kernel_died", "the kernel of the notebook died (exit code 138)"),
        ("nokernel", "failed", "exit code 1: jupyter_client.kernelspec.NoSuchKernel: No such kernel named x"),
        ("nothing", "failed", "left no notebook behind"),
    ] {
        let error = site.run(name).await.unwrap_err();
        assert_eq!(
            (error.class, &error.result["outcome"]),
            (ErrorClass::Permanent, &json!(outcome)),
            "{error}"
        );
        assert!(error.text.contains(words), "{error}");
    }
    let error = site.run("raise").await.unwrap_err();
    assert_eq!(error.result["error"], json!({"cell": 3, "name": "ValueError", "message": "bad"}));
    assert!(error.result["files"]["raise.html"].is_string());
    assert!(text_of(&site.shelf, "raise.html").contains("in f\nValueError: bad"), "the traceback is kept");
    // The program goes after the site was checked.
    let backend = site.backend();
    std::fs::remove_file(site.dir.path().join("papermill")).unwrap();
    let error = Bench::new().run(&backend, &night("good")).await.unwrap_err();
    assert!(error.text.contains("could not be run"), "{error}");
}

#[tokio::test]
async fn a_stop_ends_the_kernel_too_and_keeps_what_there_is() {
    let site = Site::new();
    let (backend, bench) = (site.backend(), Bench::new());
    let kernel = || site.work("artifacts/kernel").filter(|pid| pid.ends_with('\n'));
    let stops = async {
        until("the kernel is there", || kernel().is_some() && site.work("executed.ipynb").is_some()).await;
        bench.stop("not needed");
    };
    let call = night("away");
    let (ended, ()) = tokio::join!(bench.run(&backend, &call), stops);
    let error = ended.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert_eq!(error.result["outcome"], "stopped");
    assert!(error.result["files"]["away.html"].is_string(), "{}", error.result);
    let kernel = kernel().unwrap();
    until("the kernel is gone, though it has a session of its own", || !lives(&kernel)).await;
}

#[tokio::test]
async fn it_runs_once_over_restarts() {
    let site = Site::new();
    let bench = Bench::new();
    let (first, patient) = (site.backend(), night("patient"));
    tokio::select! {
        _ = bench.run(&first, &patient) => panic!("it waits"),
        () = until("it runs", || site.count() > 0) => {}
    }
    std::fs::write(site.dir.path().join("go"), "").unwrap();
    let outcome = bench.resume(&site.backend(), &night("patient")).await.unwrap();
    assert_eq!((&outcome.result["outcome"], site.count()), (&json!("succeeded"), 1));
    for seed in 0..20 {
        let (site, bench) = (Site::new(), Bench::new());
        let outcome = bench.die_often(&night("good"), seed, || site.backend()).await.unwrap();
        assert_eq!((&outcome.result["outcome"], site.count()), (&json!("succeeded"), 1), "{seed}");
    }
    let error = site.backend_at(late()).resume(&night("good"), None, &Bench::new().handle).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
}

#[tokio::test]
async fn notebooks_are_those_of_the_folder_and_mistakes_are_told() {
    let site = Site::new();
    let backend = site.backend();
    let check = |name: &str| backend.check(&json!({"notebook": name}));
    assert!(check("night/good.ipynb").is_ok());
    for name in ["good.ipynb", "../papermill", "night/../night/good.ipynb", "/etc/x.ipynb", ""] {
        assert!(check(name).is_err(), "{name}");
    }
    let mut call = night("good");
    call.params["parameters"] = json!({"class": 1});
    let error = Bench::new().run(&backend, &call).await.unwrap_err();
    assert!(error.text.contains("name of a parameter in Python; nothing was started"), "{error}");
    let wrong = NotebookConfig {
        program: vec!["papermill".into()],
        notebooks: Path::new("/nonexistent").to_owned(),
        pass_environment: vec!["NONE".into()],
        ..site.config.clone()
    };
    let told = wrong.checked(&|_| None).unwrap_err().join("\n");
    for words in
        ["papermill is not an absolute path", "/nonexistent is no folder", "variable NONE is not set"]
    {
        assert!(told.contains(words), "{told}");
    }
}
