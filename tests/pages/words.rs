//! Code in a line of Markdown, and patterns in which `…` stands for anything.

/// What stands between backticks, one or two of them.
pub(crate) fn spans(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('`') {
        let (fence, behind) = match behind.strip_prefix('`') {
            Some(behind) => ("``", behind),
            None => ("`", behind),
        };
        let Some((span, behind)) = behind.split_once(fence) else {
            break;
        };
        found.push(span.trim().to_owned());
        rest = behind;
    }
    found
}

/// Whether the whole text is what the pattern says.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn reads_spans_and_patterns() {
    assert_eq!(spans("a `b` ``c `d` e`` f"), ["b", "c `d` e"]);
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a … c", "a b c", true),
        ("a … c", "a b d", false),
        ("…b…", "abc", true),
        ("…", "", true),
        ("a…a", "a", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
