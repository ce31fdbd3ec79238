//! The command line on servers: librdkafka's mock broker, the embedded registry and the simulated EFD always; the real ones
//! where the environment names them (`scripts/stack env`).

mod bed;
mod efd;
mod live;
mod on_kafka;
mod recording;
mod schemas;
mod tail;

use super::*;

#[test]
fn the_table_of_arguments_is_sound() {
    whole().debug_assert();
}

#[test]
fn the_second_name_takes_the_standard_arguments() {
    assert!(called_as(&["/usr/bin/run_catcher".into()], "run_catcher"));
    assert!(!called_as(&["catcher".into(), "run_catcher".into()], "run_catcher"));
    let matches =
        run::command("run_catcher").try_get_matches_from(["run_catcher", "3", "--state", "enabled"]);
    assert!(matches.is_ok(), "{matches:?}");
}

/// Every command that has no further subcommands, with its path.
fn leaves(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
    let mut any = false;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        any = true;
        leaves(sub, &format!("{path} {}", sub.get_name()), out);
    }
    if !any {
        out.push((path.to_owned(), command.clone()));
    }
}

#[test]
fn every_command_explains_itself_and_its_examples_are_right() {
    let mut all = Vec::new();
    leaves(&whole(), "catcher", &mut all);
    assert!(all.len() > 15, "{}", all.len());
    let mut wrong = Vec::new();
    for (path, command) in &all {
        let mut expect = |so: bool, what: String| {
            if !so {
                wrong.push(format!("{path}: {what}"))
            }
        };
        expect(command.get_about().is_some(), "says nothing of itself".to_owned());
        let after = command.get_after_help().map(|text| text.to_string()).unwrap_or_default();
        expect(after.contains("Examples:"), "no examples".to_owned());
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            expect(
                argument.get_help().is_some() || id == "help" || id == "version",
                format!("{id} has no help"),
            );
        }
        let examples =
            after.lines().filter(|l| l.starts_with("  catcher ") || l.starts_with("  run_catcher "));
        let mut own = 0;
        for line in examples {
            // A remark stands behind several blanks; a pipe is the shell's.
            let line = line.trim().split("  ").next().unwrap_or_default();
            let line = line.split(['|', '>', '(']).next().unwrap_or_default();
            let words = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
            let mut words: Vec<String> = words.collect();
            if words[0] == "run_catcher" {
                words.splice(0..1, ["catcher".to_owned(), "run".to_owned()]);
            }
            // Texts of several words are one argument for the shell.
            if ["--test '", "--by '", "--reason '"].iter().any(|with| line.contains(with)) {
                continue;
            }
            own += usize::from(words.join(" ").starts_with(path.as_str()));
            let parsed = whole().try_get_matches_from(&words);
            expect(
                parsed.is_ok(),
                format!("{line}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default()),
            );
        }
        expect(own > 0, "no example of its own".to_owned());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a report says that one should type is what these commands take.
#[test]
fn the_command_lines_of_a_report_are_right() {
    let about = crate::reports::About {
        catcher: "Catcher:3".into(),
        bus: "sal".into(),
        ..crate::reports::About::default()
    };
    let report = crate::reports::Report {
        run_id: "0123456789abcdef".into(),
        rule: "Wind it's \"high\"".into(),
        about,
        ..crate::reports::Report::default()
    };
    let page = crate::reports::render_html(&report);
    let blocks =
        page.split("<pre class=\"commands\">").skip(1).map(|rest| rest.split("</pre>").next().unwrap());
    let text = blocks.collect::<String>().replace("&#39;", "'").replace("&quot;", "\"");
    let mut seen = Vec::new();
    for line in text.lines() {
        // The shell's own quotes: '...', and \' between two of them.
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        let mut letters = line.strip_prefix("LSST_TOPIC_SUBNAME=sal ").unwrap_or(line).chars();
        while let Some(c) = letters.next() {
            match c {
                '\'' => quoted = !quoted,
                '\\' if !quoted => word.extend(letters.next()),
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        let parsed = whole().try_get_matches_from(&words);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        seen.push(words[1..3].join(" "));
        assert!(words[1] != "rules" || words.contains(&report.rule), "{words:?}");
    }
    assert_eq!(seen, ["tasks show", "tasks logs", "tasks rerun", "replay rule.yaml", "rules explain"]);
}

#[test]
fn completions_know_every_command() {
    use clap_complete::Shell::{Bash, Elvish, Fish, PowerShell, Zsh};
    let mut all = Vec::new();
    leaves(&whole(), "catcher", &mut all);
    for shell in [Bash, Elvish, Fish, PowerShell, Zsh] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut whole(), "catcher", &mut text);
        let text = String::from_utf8(text).unwrap();
        for (path, _) in &all {
            let name = path.rsplit(' ').next().unwrap();
            assert!(text.contains(name), "{shell}: {path}");
        }
        for option in ["from-kafka", "vary", "junit", "exact", "dry-run", "since"] {
            assert!(text.contains(option), "{shell}: --{option}");
        }
    }
}
