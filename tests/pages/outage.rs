//! A page that names a test as its proof names one that there is.

use std::path::Path;

use anyhow::Context as _;
use keyside_harness::tools;

use crate::markdown;

/// Links of the form ``[`test`](file.rs)``: the test, and the file as the page names it.
fn proofs(text: &str) -> Vec<(String, String)> {
    let links = text.split("[`").skip(1);
    let proofs = links.filter_map(|rest| {
        let (name, rest) = rest.split_once("`](")?;
        let file = rest.split(')').next()?;
        Path::new(file)
            .extension()
            .is_some_and(|end| end == "rs")
            .then(|| (name.to_owned(), file.to_owned()))
    });
    proofs.collect()
}

#[test]
fn every_test_that_a_page_names_is_there() -> anyhow::Result<()> {
    let root = tools::root()?;
    let mut count = 0;
    for page in markdown::read_by_people()? {
        let from = root.join(&page.name);
        let folder = from.parent().context("a folder")?;
        for (test, file) in proofs(&page.text) {
            let source = std::fs::read_to_string(folder.join(&file))
                .with_context(|| format!("{}: {file}", page.name))?;
            let head = format!("fn {test}(");
            let (before, _) = source
                .split_once(&head)
                .with_context(|| format!("{}: no test {test} in {file}", page.name))?;
            // Between the attribute and the name there is at most another attribute, or `async`.
            let near = before.rsplit("\n\n").next().unwrap_or_default();
            assert!(
                near.contains("#[test]") || near.contains("#[tokio::test"),
                "{file}: {test}"
            );
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
    Ok(())
}

/// Whoever reads this page at night relies on every row of it.
#[test]
fn every_row_about_an_outage_has_its_proof() -> anyhow::Result<()> {
    let rows = markdown::page("docs/outage.md")?.rows("situation");
    assert!(rows.len() >= 15, "{}", rows.len());
    for row in rows {
        let last = row.last().context("a row without cells")?;
        assert!(!proofs(last).is_empty(), "{row:?}");
    }
    Ok(())
}
