//! "Did you mean ...?"

/// Names similar to `name`, the most similar first, at most three: other case, or few letters away.
pub fn suggest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let limit = 1 + wanted.chars().count() / 4;
    let mut near: Vec<(usize, &str)> =
        candidates.map(|c| (distance(&wanted, &c.to_lowercase()), c)).filter(|(d, _)| *d <= limit).collect();
    near.sort();
    near.into_iter().take(3).map(|(_, c)| c.to_owned()).collect()
}

/// Number of letters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_come_first() {
        let names = ["ESS", "OCPS", "ATCamera", "MTCamera", "airFlow"];
        let find = |name| suggest(name, names.into_iter());
        assert_eq!(find("atcamera"), ["ATCamera", "MTCamera"]);
        assert_eq!(find("airflow"), ["airFlow"]);
        assert_eq!(find("OCP"), ["OCPS"]);
        assert!(find("Scheduler").is_empty());
        assert_eq!((distance("kitten", "sitting"), distance("", "abc")), (3, 3));
    }
}
