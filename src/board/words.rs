//! What serde says of a value, in the words of somebody who writes a profile.

/// The message on one line. `key` is the key whose value is wrong, where it is known.
pub(super) fn reworded(key: Option<&str>, message: &str) -> String {
    let value = key.map_or_else(|| "the value".to_owned(), str::to_owned);
    for kind in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, wanted)) =
            message.strip_prefix(kind).and_then(|rest| rest.split_once(", expected "))
        {
            return format!("{value} is {}, but must be {}", plain(found), wanted_in_words(wanted));
        }
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown("unknown key", rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(&format!("{value} cannot be"), rest);
    }
    match message.strip_prefix("missing field ") {
        Some(key) => format!("the key {key} is missing, and no profile that this one inherits from has it"),
        None => message.replace('\n', " "),
    }
}

/// "`wrong`, expected one of `this`, `that`": which was probably meant.
fn unknown(what: &str, rest: &str) -> String {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let wrong = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let nearest = known.iter().map(|name| (distance(wrong, name), *name)).min();
    match nearest {
        Some((distance, meant)) if distance <= 1 + wrong.chars().count() / 4 => {
            format!("{what} `{wrong}`; did you mean `{meant}`?")
        }
        _ => format!("{what} `{wrong}`; possible are {}", known.join(", ")),
    }
}

/// "string \"two\"", "integer `3`" without the programmer's quotes.
fn plain(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        _ => found.replace('`', "").replace("floating point", "the number").replace("integer", "the number"),
    }
}

fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list in brackets",
        _ if wanted.starts_with("struct ") => "a table of keys",
        _ => wanted,
    }
}

/// Letters that are to be added, removed, changed or swapped with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().take(64).collect(), to.chars().take(64).collect());
    let mut rows: [Vec<usize>; 2] = [Vec::new(), (0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = rows[1][j] + usize::from(a != b);
            let mut least = change.min(rows[1][j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && from[i - 1] == *b && to[j - 1] == *a;
            if swapped {
                least = least.min(rows[0][j - 1] + 1);
            }
            row.push(least);
        }
        rows.swap(0, 1);
        rows[1] = row;
    }
    rows[1].last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_far_apart_as_they_have_slips() {
        for (from, to, expected) in [
            ("", "", 0),
            ("rate", "rate", 0),
            ("rate_hz", "ratehz", 1),
            ("thread", "threads", 1),
            ("tihreads", "threads", 1),
            ("htreads", "threads", 1),
            ("zoom", "source", 5),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }
}
