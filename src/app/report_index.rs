//! Keeps the lists of reports: `index.html`, `<night>/index.html` and `rules/<rule>.html` in the folder of the reports.
//!
//! The reports themselves are all that counts: a list is made of their first kilobytes, and made anew when its night has other
//! reports than it says, so a crash or a deleted folder needs no care. Lists are replaced whole; reports never are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::outputs::report_folder::ReportFolder;
use crate::reports::index::{
    Entry, NIGHTS, PAGE, Summary, all_page, is_report, night_pages, prefix_of, rule_file, rule_page,
};

/// How much of a file is read.
const HEAD: u64 = 8 << 10;
/// Nights whose reports are remembered: this one and the one before, for runs that take long.
const NIGHTS_KEPT: usize = 2;
/// Rules whose reports are remembered.
const RULES_KEPT: usize = 64;
/// Folder of the lists by rule.
const RULES: &str = "rules";

/// The lists. Everything here blocks on the disk.
pub struct ReportIndex {
    folder: PathBuf,
    /// Whose reports they are: `Catcher:1 at summit`.
    of: String,
    /// Reports of nights, by file.
    nights: BTreeMap<String, BTreeMap<String, Entry>>,
    /// The newest reports of rules, the newest last; and whether there are more.
    rules: BTreeMap<String, (Vec<Entry>, bool)>,
    /// What has changed since the lists were written.
    new_nights: BTreeSet<String>,
    new_rules: BTreeSet<String>,
}

impl ReportIndex {
    /// Of the reports in that folder.
    pub fn new(folder: &ReportFolder, of: String) -> ReportIndex {
        ReportIndex {
            folder: folder.path().to_owned(),
            of,
            nights: BTreeMap::new(),
            rules: BTreeMap::new(),
            new_nights: BTreeSet::new(),
            new_rules: BTreeSet::new(),
        }
    }

    /// Looks for reports that the lists do not have (or have and are gone), and lists them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn catch_up(&mut self) -> io::Result<()> {
        for night in nights(&self.folder)? {
            let files = reports(&self.folder.join(&night))?;
            let told =
                head(&self.folder.join(&night).join("index.html")).ok().and_then(|h| Summary::read(&h));
            if told.is_none_or(|told| told.reports != files.len()) {
                let rules: Vec<String> = self.night(&night)?.values().map(|e| e.rule.clone()).collect();
                self.new_rules.extend(rules);
                self.new_nights.insert(night);
                self.forget();
            }
        }
        self.write()
    }

    /// A report has been written.
    pub fn added(&mut self, entry: Entry) {
        if let Some(night) = self.nights.get_mut(&entry.night) {
            night.insert(entry.file.clone(), entry.clone());
        }
        if let Some((rule, more)) = self.rules.get_mut(&entry.rule)
            && rule.iter().all(|e| e.file != entry.file)
        {
            rule.push(entry.clone());
            if rule.len() > PAGE {
                rule.remove(0);
                *more = true;
            }
        }
        self.new_nights.insert(entry.night);
        self.new_rules.insert(entry.rule);
    }

    /// Writes the lists that have changed.
    ///
    /// # Errors
    /// The disk failed; what could not be written is tried again with the next report.
    pub fn write(&mut self) -> io::Result<()> {
        if self.new_nights.is_empty() && self.new_rules.is_empty() {
            return Ok(());
        }
        let nights: Vec<String> = nights(&self.folder)?;
        while let Some(night) = self.new_nights.last().cloned() {
            self.write_night(&night, &nights)?;
            self.new_nights.remove(&night);
            self.forget();
        }
        while let Some(rule) = self.new_rules.last().cloned() {
            self.write_rule(&rule, &nights)?;
            self.new_rules.remove(&rule);
            self.forget();
        }
        self.write_all(&nights)
    }

    /// Memory is bounded: what is forgotten is read again when it is wanted.
    fn forget(&mut self) {
        while self.nights.len() > NIGHTS_KEPT {
            self.nights.pop_first();
        }
        if self.rules.len() > RULES_KEPT {
            self.rules.clear();
        }
    }

    fn write_night(&mut self, night: &str, nights: &[String]) -> io::Result<()> {
        let of = self.of.clone();
        let place = nights.iter().position(|n| n == night);
        let before = place.and_then(|i| nights.get(i.checked_sub(1)?));
        let after = place.and_then(|i| nights.get(i + 1));
        let mut entries: Vec<Entry> = self.night(night)?.values().cloned().collect();
        entries.sort_by(made_first);
        let folder = self.folder.join(night);
        let mut pages =
            night_pages(night, &of, &entries, (before.map(String::as_str), after.map(String::as_str)));
        let newest = pages.pop();
        for (name, page) in &pages {
            let file = folder.join(name);
            // They are the same each time, but for the links to other parts.
            if fs::read(&file).ok().as_deref() != Some(page.as_bytes()) {
                replace(&file, page)?;
            }
        }
        match newest {
            Some((name, page)) => replace(&folder.join(name), &page),
            None => Ok(()),
        }
    }

    fn write_rule(&mut self, rule: &str, nights: &[String]) -> io::Result<()> {
        if !self.rules.contains_key(rule) {
            let found = self.of_rule(rule, nights)?;
            self.rules.insert(rule.to_owned(), found);
        }
        let Some((entries, more)) = self.rules.get(rule) else { return Ok(()) };
        replace(&self.folder.join(RULES).join(rule_file(rule)), &rule_page(rule, &self.of, entries, *more))
    }

    fn write_all(&mut self, nights: &[String]) -> io::Result<()> {
        let summaries = |files: Vec<PathBuf>| -> Vec<Summary> {
            files.iter().filter_map(|file| Summary::read(&head(file).ok()?)).collect()
        };
        let known = nights.len().saturating_sub(NIGHTS);
        // Those that are not shown are only counted.
        let earlier = (0..known).map(|_| Summary::default());
        let shown =
            summaries(nights[known..].iter().map(|n| self.folder.join(n).join("index.html")).collect());
        let of_nights: Vec<Summary> = earlier.chain(shown).collect();
        let mut rules: Vec<PathBuf> = reports_and_lists(&self.folder.join(RULES))?
            .into_iter()
            .map(|f| self.folder.join(RULES).join(f))
            .collect();
        rules.sort();
        let rules = summaries(rules);
        let latest: Vec<Entry> = match nights.last().cloned() {
            Some(night) => self.night(&night)?.values().cloned().collect(),
            None => Vec::new(),
        };
        replace(&self.folder.join("index.html"), &all_page(&self.of, &latest, &of_nights, &rules))
    }

    /// The reports of a night.
    fn night(&mut self, night: &str) -> io::Result<&BTreeMap<String, Entry>> {
        let folder = self.folder.join(night);
        if !self.nights.contains_key(night) {
            let mut all = BTreeMap::new();
            for file in reports(&folder)? {
                let entry = Entry::read(night, &file, &head(&folder.join(&file))?);
                all.insert(file, entry);
            }
            self.nights.insert(night.to_owned(), all);
        }
        Ok(&*self.nights.entry(night.to_owned()).or_default())
    }

    /// The newest reports of a rule, the newest last.
    fn of_rule(&self, rule: &str, nights: &[String]) -> io::Result<(Vec<Entry>, bool)> {
        let prefix = prefix_of(rule);
        let mut found: Vec<Entry> = Vec::new();
        for night in nights.iter().rev().take(NIGHTS) {
            let folder = self.folder.join(night);
            let mut of_night = Vec::new();
            for file in reports(&folder)?.into_iter().filter(|file| file.starts_with(&prefix)) {
                let entry = Entry::read(night, &file, &head(&folder.join(&file))?);
                if prefix_of(&entry.rule) == prefix {
                    of_night.push(entry);
                }
            }
            of_night.sort_by(|a, b| made_first(b, a));
            found.extend(of_night);
            if found.len() > PAGE {
                break;
            }
        }
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        found.reverse();
        Ok((found, more))
    }
}

fn made_first(a: &Entry, b: &Entry) -> std::cmp::Ordering {
    a.created.total_cmp(&b.created).then_with(|| a.file.cmp(&b.file))
}

/// The nights that have a folder, the earliest first.
fn nights(folder: &Path) -> io::Result<Vec<String>> {
    let mut nights = names(folder)?;
    nights.retain(|name| name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit()));
    nights.sort_unstable();
    Ok(nights)
}

fn reports(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = names(folder)?;
    files.retain(|name| is_report(name));
    Ok(files)
}

fn reports_and_lists(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = names(folder)?;
    files.retain(|name| name.ends_with(".html"));
    Ok(files)
}

/// What is in a folder; nothing if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let all = match fs::read_dir(folder) {
        Ok(all) => all,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for one in all {
        if let Ok(name) = one?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The first kilobytes of a file.
fn head(file: &Path) -> io::Result<String> {
    let mut head = Vec::new();
    fs::File::open(file)?.take(HEAD).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Nobody ever sees half a list.
fn replace(file: &Path, page: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, page)?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::{About, Report, render_html};
    use salobj::Tai;

    const NIGHT: &str = "20261120";

    fn report(i: usize, rule: &str, day: f64) -> Report {
        let at = Tai::from_utc_iso("2026-11-20T22:00:00").unwrap().0 + 86_400.0 * day + i as f64;
        Report {
            run_id: format!("{i:016x}"),
            rule: rule.to_owned(),
            state: "succeeded".to_owned(),
            triggered: Tai(at),
            about: About { severity: "warning".into(), created: Tai(at + 2.0), ..About::default() },
            ..Report::default()
        }
    }

    struct Place {
        dir: tempfile::TempDir,
        folder: ReportFolder,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().unwrap();
            let folder = ReportFolder::new(dir.path());
            Place { dir, folder }
        }

        fn index(&self) -> ReportIndex {
            ReportIndex::new(&self.folder, "Catcher:1 at test".to_owned())
        }

        fn keep(&self, report: &Report) -> Entry {
            self.folder.write(&report.file_name(), render_html(report)).unwrap();
            Entry::of(report)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.dir.path().join(name)).unwrap()
        }
    }

    fn rows(page: &str) -> usize {
        page.matches("<tr class=\"e").count()
    }

    #[test]
    fn without_reports_there_is_nothing() {
        let place = Place::new();
        place.index().catch_up().unwrap();
        assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_link_of_a_list_leads_to_a_file() {
        let place = Place::new();
        let mut index = place.index();
        index.catch_up().unwrap();
        for (i, rule, day) in [(1, "Wind", 0.0), (2, "Wind", 1.0), (3, "Wind_High", 0.0), (4, "a b", 1.0)] {
            let entry = place.keep(&report(i, rule, day));
            index.added(entry);
            index.write().unwrap();
        }
        let mut seen = 0;
        for (folder, list) in [
            ("", "index.html"),
            ("20261120/", "index.html"),
            ("20261121/", "index.html"),
            ("rules/", "Wind.html"),
            ("rules/", "Wind_High.html"),
            ("rules/", "a_b.html"),
        ] {
            let page = place.read(&format!("{folder}{list}"));
            for link in page.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let file = place.dir.path().join(folder).join(link);
                assert!(file.is_file(), "{folder}{list} links to {link}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen} links");
        assert_eq!(rows(&place.read("rules/Wind.html")), 2, "Wind_High has a page of its own");
        assert_eq!(rows(&place.read("20261120/index.html")), 2);
        // A report links to its lists, which are there.
        let page = place.read("20261120/Wind_0000000000000001.html");
        for list in ["../index.html", "index.html", "../rules/Wind.html"] {
            assert!(page.contains(&format!("href=\"{list}\"")), "{list}");
        }
    }

    #[test]
    fn lists_that_a_crash_left_behind_are_made_anew_and_reports_stay() {
        let place = Place::new();
        let mut index = place.index();
        let first = report(1, "Wind", 0.0);
        let entry = place.keep(&first);
        index.added(entry);
        index.write().unwrap();
        let before = place.read(&first.file_name());
        // Written, but the process died before it was in a list; and one from before reports said what they are.
        place.keep(&report(2, "Wind", 0.0));
        place.folder.write("20261120/Old_00000000000000ff.html", "<!DOCTYPE html>").unwrap();
        place.index().catch_up().unwrap();
        let night = place.read("20261120/index.html");
        assert_eq!(rows(&night), 3);
        assert!(night.contains("Old_00000000000000ff.html"));
        assert_eq!(rows(&place.read("rules/Wind.html")), 2);
        assert_eq!(place.read(&first.file_name()), before);
        // What is gone is no longer listed.
        fs::remove_file(place.dir.path().join("20261120/Old_00000000000000ff.html")).unwrap();
        place.index().catch_up().unwrap();
        assert_eq!(rows(&place.read("20261120/index.html")), 2);
    }

    #[test]
    fn thousands_of_reports_stay_pages_of_bounded_size() {
        let place = Place::new();
        let small = |i: usize| {
            let report = report(i, "Often", 0.0);
            let head = render_html(&report).split("<style>").next().unwrap().to_owned();
            (report, head)
        };
        fs::create_dir_all(place.dir.path().join(NIGHT)).unwrap();
        for i in 0..3300 {
            let (report, head) = small(i);
            fs::write(place.dir.path().join(report.file_name()), head).unwrap();
        }
        let mut index = place.index();
        index.catch_up().unwrap();
        let parts = ["part-1", "part-2", "part-3", "part-4", "part-5", "index"];
        let of = |part: &str| place.read(&format!("{NIGHT}/{part}.html"));
        assert_eq!(parts.map(|part| rows(&of(part))), [500, 500, 500, 500, 500, 800]);
        assert_eq!(rows(&place.read("rules/Often.html")), PAGE);
        let early =
            fs::metadata(place.dir.path().join(NIGHT).join("part-1.html")).unwrap().modified().unwrap();
        for i in 3300..3310 {
            let entry = place.keep(&report(i, "Often", 0.0));
            index.added(entry);
        }
        index.write().unwrap();
        assert_eq!(rows(&of("index")), 810);
        let again =
            fs::metadata(place.dir.path().join(NIGHT).join("part-1.html")).unwrap().modified().unwrap();
        assert_eq!(early, again, "a whole part is not written again");
        let of_rule = place.read("rules/Often.html");
        assert_eq!(rows(&of_rule), PAGE);
        assert!(of_rule.contains("Often_0000000000000ced.html"), "the newest, 3309");
        assert!(place.read("index.html").contains(">500+<"));
    }
}
