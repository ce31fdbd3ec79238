//! Patterns of alarm names as the Watcher's escalation has them: `*`, `?`, `[abc]`, `[!a-z]`; the whole name, whatever the case.

/// True if the pattern is the whole name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    whole(&pattern, &name)
}

/// The last `*` is where it goes on from if what follows does not fit: linear in practice, quadratic at worst.
fn whole(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(len) = one(&pattern[p..], name[n]) {
            p += len;
            n += 1;
            continue;
        }
        let Some((at, from)) = star else { return false };
        star = Some((at, from + 1));
        p = at + 1;
        n = from + 1;
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How long the part of the pattern is that fits this letter.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            // A bracket that is not closed is a letter.
            let skip = 1 + usize::from(pattern.get(1) == Some(&'!'));
            let Some(end) = pattern.iter().skip(skip + 1).position(|c| *c == ']').map(|i| i + skip + 1)
            else {
                return (letter == '[').then_some(1);
            };
            let set = &pattern[skip..end];
            let mut found = false;
            let mut i = 0;
            while i < set.len() {
                if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
                    found |= set[i] <= letter && letter <= set[i + 2];
                    i += 3;
                } else {
                    found |= set[i] == letter;
                    i += 1;
                }
            }
            (found != (skip == 2)).then_some(end + 1)
        }
        c => (*c == letter).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_whole_name_whatever_the_case() {
        for (pattern, name) in [
            ("Enabled.*", "enabled.ESS:301"),
            ("*", ""),
            ("ATCameraDewar", "atcameradewar"),
            ("DewPointDepression.?T", "DewPointDepression.AT"),
            ("*.ESS:30[1-3]", "Heartbeat.ESS:302"),
            ("*[!3]", "Heartbeat.ESS:302"),
            ("a*b*c", "a-b-b-c"),
            ("[x", "[x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("Enabled", "Enabled.ESS:301"),
            ("Enabled.*", "Heartbeat.ESS:301"),
            ("?", ""),
            ("*.ESS:30[1-3]", "Heartbeat.ESS:304"),
            ("*[!2]", "Heartbeat.ESS:302"),
            ("a*b", "a-b-c"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
