//! What is measured goes into the pages between markers, so that text and numbers are edited apart.

use anyhow::Context as _;
use keyside_harness::tools;

/// Puts `text` between the markers `name` of a page of the repository.
pub(crate) fn replace(page: &str, name: &str, text: &str) -> anyhow::Result<()> {
    let path = tools::root()?.join(page);
    let old = std::fs::read_to_string(&path).with_context(|| format!("read {page}"))?;
    let new =
        replaced(&old, name, text).with_context(|| format!("{page} has no markers {name}"))?;
    std::fs::write(&path, new).with_context(|| format!("write {page}"))
}

fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_markers_is_replaced() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let expected = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n";
        assert_eq!(replaced(page, "x", "\nnew\n\n").as_deref(), Some(expected));
        assert_eq!(replaced(expected, "x", "new").as_deref(), Some(expected));
        assert_eq!(replaced(page, "y", "new"), None);
    }
}
