//! Lists of reports: what they say, where they link to, that they stay of a size.

use super::*;
use crate::reports::tests::leave;

fn entry(i: usize) -> Entry {
    let severity = ["", "none", "warning", "serious", "critical"][i % 5];
    Entry {
        night: "20261120".into(),
        file: format!("Rule{}_{i:016x}.html", i % 3),
        run: format!("{i:016x}"),
        rule: format!("Rule{}", i % 3),
        severity: severity.into(),
        state: if i.is_multiple_of(7) { "timed_out".into() } else { "succeeded".into() },
        triggered: 1_795_218_037.0 + i as f64,
        took: Some(1.5),
        why: format!("because of {i}"),
        created: i as f64,
        ..Entry::default()
    }
}

fn rows(page: &str) -> usize {
    page.matches("<tr class=\"e").count()
}

#[test]
fn an_entry_comes_back_from_the_head_of_its_report() {
    let odd = Entry {
        rule: "a \"<b>\" & 'c'".into(),
        why: "x &amp; </title> \u{202e}".into(),
        key: Some("R22&quot;".into()),
        parent: Some("ff".into()),
        ..entry(1)
    };
    let page = open("t", Some((Entry::NOTE, &odd.note())), "");
    let back = Entry::read(&odd.night, &odd.file, &page);
    assert_eq!(back, Entry { why: "x &amp; </title> \u{fffd}".into(), ..odd });
    // Of a report from before there were such lines its name tells something.
    let old = Entry::read("20251120", "Wind.Forecast_0123456789abcdef.html", "<!DOCTYPE html>");
    assert_eq!(
        (old.rule.as_str(), old.run.as_str(), old.night.as_str()),
        ("Wind.Forecast", "0123456789abcdef", "20251120")
    );
    for head in
        ["", "<meta name=\"catcher-report\" content=\"", "<meta name=\"catcher-report\" content=\"{\">"]
    {
        assert_eq!(Entry::read("n", "a_b.html", head).run, "b");
    }
}

#[test]
fn a_night_has_pages_of_bounded_size_and_its_early_ones_stay_as_they_are() {
    let entries: Vec<Entry> = (0..5 * PAGE + 123).map(entry).collect();
    let pages = night_pages("20261120", "Catcher:1 at test", &entries, (Some("20261119"), None));
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["part-1.html", "part-2.html", "part-3.html", "part-4.html", "index.html"]);
    assert_eq!(pages.iter().map(|(_, page)| rows(page)).sum::<usize>(), entries.len());
    assert!(pages.iter().all(|(_, page)| rows(page) < 2 * PAGE && page.len() < 600_000));
    let later: Vec<Entry> = (0..5 * PAGE + 200).map(entry).collect();
    let again = night_pages("20261120", "Catcher:1 at test", &later, (Some("20261119"), None));
    assert_eq!(pages[..4], again[..4]);
    let newest = &pages[4].1;
    leave("night", newest);
    assert_eq!(Summary::read(newest).unwrap(), Summary::of("20261120", &entries));
    assert_eq!(Summary::read(&pages[0].1), None);
    for part in ["href=\"../20261119/index.html\"", "href=\"part-2.html\"", "href=\"../rules/Rule1.html\""] {
        assert!(newest.contains(part), "{part}");
    }
    let first = newest.find("because of 2622<").unwrap();
    assert!(first < newest.find("because of 2621<").unwrap(), "the newest comes first");
}

#[test]
fn rows_can_be_chosen_without_a_script() {
    let entries: Vec<Entry> = (0..10).map(entry).collect();
    let page = &night_pages("20261120", "Catcher:1", &entries, (None, None))[0].1;
    assert!(!page.contains("<script") && page.contains("main:has(#f-r2:checked) tr.e:not(.r2)"));
    // Numbers 2, 3, 4, 7, 8, 9 have an alarm, 3, 4, 8, 9 a high one; 0 and 7 ran out of time.
    assert_eq!(page.matches("<tr class=\"e alarm").count(), 6);
    assert_eq!(page.matches("<tr class=\"e alarm high").count(), 4);
    assert_eq!(page.matches("bad-run r").count(), 2);
    for id in ["f-alarm", "f-high", "f-bad", "f-r0", "f-r1", "f-r2"] {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    let one: Vec<Entry> = entries.iter().filter(|e| e.rule == "Rule1").cloned().collect();
    assert!(!night_pages("20261120", "Catcher:1", &one, (None, None))[0].1.contains("f-r0"));
}

#[test]
fn the_list_of_all_has_nights_rules_and_the_latest() {
    let entries: Vec<Entry> = (0..40).map(entry).collect();
    let nights: Vec<Summary> = (0..NIGHTS + 3).map(|i| Summary::of(&format!("n{i:04}"), &entries)).collect();
    let rules = [Summary { more: true, ..Summary::of("Wind <x>", &entries[..7]) }];
    let page = all_page("Catcher:1 at test", &entries, &nights, &rules);
    leave("all", &page);
    assert_eq!(rows(&page), LATEST);
    assert!(page.contains("href=\"20261120/Rule0_0000000000000027.html\""), "the newest of all");
    assert!(page.contains("href=\"n0402/index.html\"") && !page.contains("href=\"n0002/index.html\""));
    assert!(page.contains("href=\"rules/Wind__x_.html\">Wind &lt;x&gt;</a></td><td class=\"n\">7+</td>"));
    assert!(page.contains("and 3 earlier nights"));
    let of_rule = rule_page("Rule1", "Catcher:1", &entries, true);
    assert!(of_rule.contains("href=\"../20261120/Rule1_0000000000000001.html\""));
    assert!(Summary::read(&of_rule).unwrap().more);
}
