//! The dashboard: a page of plain HTML, CSS and modules, built in. It needs nothing from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    answer(&ASSETS[0], &headers)
}

/// What the page is made of.
pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.file == file) {
        Some(asset) => answer(asset, &headers),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// The file, or that the browser has it already.
fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    let tag = asset.tag();
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known
        .filter_map(|tags| tags.to_str().ok())
        .any(|tags| tags.contains(&tag));
    let common = [
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        // Kept, and asked for each time: another version of Breaker may be here next.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let media_type = [(header::CONTENT_TYPE, asset.media_type())];
    (common, media_type, asset.text).into_response()
}

struct Asset {
    file: &'static str,
    text: &'static str,
}

impl Asset {
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }

    fn media_type(&self) -> &'static str {
        match self.file.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        }
    }
}

/// Only what comes from here runs, and nobody else's page may show it. No script makes markup from
/// text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

macro_rules! assets {
    ($($file:literal)*) => {
        &[$(Asset {
            file: $file,
            text: include_str!(concat!("../../assets/dashboard/", $file)),
        }),*]
    };
}

/// The page is the first.
const ASSETS: &[Asset] = assets! {
    "index.html"
    "style.css"
    "icon.svg"
    "main.js"
    "announce.js"
    "api.js"
    "canvas.js"
    "charts.js"
    "dom.js"
    "endpoints.js"
    "fleet.js"
    "fleetpage.js"
    "format.js"
    "live.js"
    "modes.js"
    "panels.js"
    "route.js"
    "source.js"
    "spark.js"
    "store.js"
    "theme.js"
    "tiles.js"
    "traces.js"
};

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_file_of_the_dashboard_is_built_in() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dashboard");
        let files = fs::read_dir(directory).unwrap();
        let mut files: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut built_in: Vec<_> = ASSETS.iter().map(|asset| asset.file).collect();
        files.sort();
        built_in.sort();
        assert_eq!(files, built_in);
    }

    #[test]
    fn modules_import_only_what_is_built_in_and_make_no_markup_from_text() {
        for asset in ASSETS {
            for line in asset.text.lines().filter(|line| line.starts_with("import")) {
                let (_, from) = line.split_once("\"./").expect("an import from beside it");
                let file = from.trim_end_matches("\";");
                assert!(ASSETS.iter().any(|asset| asset.file == file), "{line}");
            }
            for unsafe_way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(
                    !asset.text.contains(unsafe_way),
                    "{}: {unsafe_way}",
                    asset.file
                );
            }
        }
    }

    #[test]
    fn the_page_names_no_other_site() {
        for asset in ASSETS {
            let own = asset.text.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "//cdn"] {
                assert!(!own.contains(foreign), "{}: {foreign}", asset.file);
            }
        }
    }
}
