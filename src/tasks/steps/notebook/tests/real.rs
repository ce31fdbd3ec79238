//! With the real papermill and a kernel of Python: `CATCHER_TEST_PAPERMILL`, the path of the program (`tests/interop/run notebook`).

use std::time::Duration;

use super::*;

/// A folder of notebooks, each of which does something else.
struct Real {
    dir: tempfile::TempDir,
    shelf: Arc<MemoryShelf>,
    config: NotebookConfig,
}

impl Real {
    fn new() -> Option<Real> {
        let Ok(program) = std::env::var("CATCHER_TEST_PAPERMILL") else {
            eprintln!("SKIPPED: no real papermill, CATCHER_TEST_PAPERMILL is not set");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let show = "from IPython.display import JSON, display\ndisplay(JSON({'x': x, 'sum': sum(x)}))";
        let notebooks: [(&str, &[(&str, &str)]); 5] = [
            (
                "good",
                &[
                    ("parameters", "x = [1]"),
                    ("catcher-result", show),
                    ("", "import os\nopen(os.environ['CATCHER_ARTIFACTS'] + '/x.txt', 'w').write(str(x))"),
                ],
            ),
            (
                "raise",
                &[
                    ("", "print('before')"),
                    ("", "def f():\n    raise ValueError('bad\\nthing')\nf()"),
                    ("", "print('after')"),
                ],
            ),
            ("die", &[("", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")]),
            ("hungry", &[("", "x = bytearray(6 << 30)")]),
            (
                "slow",
                &[
                    ("", "print('begun')"),
                    ("", "import os, time\nopen('kernel', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(600)"),
                ],
            ),
        ];
        for (name, cells) in notebooks {
            let cells: Vec<Value> = cells.iter().map(|(tag, source)| code(tag, source, json!([]))).collect();
            let mut notebook: Value = serde_json::from_str(&notebook_of(&cells)).unwrap();
            notebook["metadata"] =
                json!({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}});
            std::fs::write(dir.path().join(format!("{name}.ipynb")), notebook.to_string()).unwrap();
        }
        let config = json!({"program": [program], "notebooks": dir.path(), "memory_mb": 4096});
        Some(Real { shelf: Arc::default(), config: serde_json::from_value(config).unwrap(), dir })
    }

    fn backend(&self) -> NotebookBackend {
        let work = self.dir.path().join("work");
        NotebookBackend::new(&self.config, work, Arc::clone(&self.shelf) as _, &|_| None, clock()).unwrap()
    }
}

fn call_of(name: &str) -> StepCall {
    let mut call = testing::call(
        "notebook",
        json!({"notebook": format!("{name}.ipynb"), "parameters": {"x": [1, 2, 3.5]}}),
    );
    call.timeout = Duration::from_secs(120);
    call
}

#[tokio::test]
async fn the_real_papermill_executes_a_notebook_with_its_parameters() {
    let Some(real) = Real::new() else { return };
    let outcome = Bench::new().run(&real.backend(), &call_of("good")).await.unwrap();
    assert_eq!(outcome.result["values"], json!({"x": [1, 2, 3.5], "sum": 6.5}));
    assert_eq!(kept(&real.shelf), ["good.html", "good.ipynb", "log.txt", "x.txt"]);
    assert_eq!(text_of(&real.shelf, "x.txt"), "[1, 2, 3.5]");
    assert!(text_of(&real.shelf, "good.html").contains("x = [1, 2, 3.5]"));
    assert!(outcome.result["started"].as_str() < outcome.result["finished"].as_str(), "{}", outcome.result);
}

#[tokio::test]
async fn the_real_papermill_tells_how_a_notebook_failed() {
    let Some(real) = Real::new() else { return };
    let error = Bench::new().run(&real.backend(), &call_of("raise")).await.unwrap_err();
    // The third cell: parameters were written before the first.
    assert_eq!(
        error.result["error"],
        json!({"cell": 3, "name": "ValueError", "message": "bad\nthing"}),
        "{error}"
    );
    let page = text_of(&real.shelf, "raise.html");
    assert!(
        page.contains("before") && page.contains("raise ValueError") && !page.contains("<pre>after"),
        "{page}"
    );
    let error = Bench::new().run(&real.backend(), &call_of("die")).await.unwrap_err();
    assert_eq!(error.result["outcome"], "kernel_died", "{error}");
    let error = Bench::new().run(&real.backend(), &call_of("hungry")).await.unwrap_err();
    assert_eq!(error.result["error"]["name"], "MemoryError", "{error}");
    let mut call = call_of("good");
    call.params["kernel_name"] = json!("none_of_that_name");
    let error = Bench::new().run(&real.backend(), &call).await.unwrap_err();
    assert!(error.text.contains("No such kernel named none_of_that_name"), "{error}");
}

#[tokio::test]
async fn the_real_papermill_and_its_kernel_end_when_the_step_is_stopped() {
    let Some(real) = Real::new() else { return };
    let (backend, bench, call) = (real.backend(), Bench::new(), call_of("slow"));
    let kernel = || {
        let folder = std::fs::read_dir(real.dir.path().join("work")).ok()?.next()?.ok()?.path();
        std::fs::read_to_string(folder.join("kernel")).ok().filter(|pid| pid.ends_with('\n'))
    };
    let stops = async {
        until("the kernel works", || kernel().is_some()).await;
        bench.stop("enough");
    };
    let (ended, ()) = tokio::join!(bench.run(&backend, &call), stops);
    let error = ended.unwrap_err();
    assert_eq!((error.class, &error.result["outcome"]), (ErrorClass::Aborted, &json!("stopped")));
    assert!(text_of(&real.shelf, "slow.html").contains("begun"), "the cell before is kept");
    let kernel = kernel().unwrap();
    until("the kernel is gone", || !lives(&kernel)).await;
}
