//! The small web server of the process: the reports and their lists, and whether the process is well. It can change nothing.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::outputs::report_folder::ReportFolder;
use crate::reports;

/// A server that is bound already, so that its address is known before it serves.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    reports: ReportFolder,
}

impl Web {
    /// Binds to `address` (port 0: any free one) and serves the files below `reports` as `/reports/...`.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(address: SocketAddr, reports: ReportFolder) -> Result<Self, String> {
        let listener =
            TcpListener::bind(address).await.map_err(|e| format!("web server on {address}: {e}"))?;
        Ok(Self { listener, reports })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound listener has an address")
    }

    /// Serves until dropped.
    pub async fn run(self) -> Result<(), String> {
        let app = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/", get(|| async { Redirect::temporary("/reports/") }))
            .route("/reports", get(|| async { Redirect::temporary("/reports/") }))
            .route(
                "/reports/",
                get(|State(folder): State<ReportFolder>| file(folder, "index.html".to_owned())),
            )
            .route("/reports/{*path}", get(report))
            .with_state(self.reports);
        axum::serve(self.listener, app).await.map_err(|e| format!("web server: {e}"))
    }
}

async fn report(State(folder): State<ReportFolder>, UrlPath(path): UrlPath<String>) -> Response {
    let path = if path.ends_with('/') { path + "index.html" } else { path };
    file(folder, path).await
}

async fn file(folder: ReportFolder, path: String) -> Response {
    let Some(file) = folder.file(&path) else {
        return (StatusCode::BAD_REQUEST, "not the address of a report\n").into_response();
    };
    let kind = content_type(&path);
    match tokio::fs::read(file).await {
        Ok(page) => {
            // What a program wrote is shown, and may do nothing.
            let policy = if path.starts_with("files/") { OF_OTHERS } else { reports::POLICY };
            // Lists change; reports and files never do.
            let list = path.ends_with("index.html") || path.starts_with("rules/") || path.contains("/part-");
            let cache = if list { "no-cache" } else { "private, max-age=3600" };
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CONTENT_SECURITY_POLICY, policy),
                (header::CACHE_CONTROL, cache),
            ];
            (headers, page).into_response()
        }
        Err(_) if path == "index.html" => (StatusCode::OK, "there are no reports yet\n").into_response(),
        Err(_) => (StatusCode::NOT_FOUND, "there is no such report; /reports/ lists all\n").into_response(),
    }
}

/// For pages that are not our own.
const OF_OTHERS: &str = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'";

/// By the ending of the name; what is not known is offered for download.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("txt" | "log" | "csv" | "yaml") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_serves_reports_and_nothing_outside_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let reports = dir.path().join("reports");
        std::fs::create_dir_all(reports.join("20261120")).unwrap();
        std::fs::write(reports.join("20261120/a.html"), "<p>hello").unwrap();
        std::fs::create_dir_all(reports.join("files/r/s_1")).unwrap();
        std::fs::write(reports.join("files/r/s_1/a.png"), "png").unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        let web = Web::bind(([127, 0, 0, 1], 0).into(), ReportFolder::new(reports)).await.unwrap();
        let base = format!("http://{}", web.address());
        let server = tokio::spawn(web.run());
        let get = async |path: &str| reqwest::get(format!("{base}{path}")).await.unwrap();
        assert_eq!(get("/reports/20261120/a.html").await.text().await.unwrap(), "<p>hello");
        assert_eq!(get("/reports/none.html").await.status(), 404);
        assert_eq!(get("/").await.text().await.unwrap(), "there are no reports yet\n");
        std::fs::write(dir.path().join("reports/index.html"), "<p>all").unwrap();
        std::fs::write(dir.path().join("reports/20261120/index.html"), "<p>night").unwrap();
        for (path, text) in [("/", "<p>all"), ("/reports", "<p>all"), ("/reports/20261120/", "<p>night")] {
            let page = get(path).await;
            assert_eq!(page.headers()["cache-control"], "no-cache", "{path}");
            assert_eq!(page.headers()["content-security-policy"], crate::reports::POLICY, "{path}");
            assert_eq!(page.text().await.unwrap(), text, "{path}");
        }
        let file = get("/reports/files/r/s_1/a.png").await;
        assert_eq!(file.headers()["content-type"], "image/png");
        assert!(file.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
        assert!(get("/reports/..%2fsecret").await.status().is_client_error());
        assert_eq!(get("/healthz").await.status(), 200);
        server.abort();
    }
}
