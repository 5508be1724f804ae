//! Links within the repository lead to a file, and to a heading where they name one.

use std::path::Path;

use anyhow::Context as _;
use keyside_harness::tools;

use crate::markdown::{self, Page};

/// `page.md` is a part of another page, and its links are that page's.
const PARTS: [&str; 1] = ["agent/config/src/reference/page.md"];

#[test]
fn links_lead_somewhere() -> anyhow::Result<()> {
    let root = tools::root()?.canonicalize()?;
    let (mut followed, mut wrong) = (0, Vec::new());
    for page in markdown::all()? {
        if PARTS.contains(&page.name.as_str()) {
            continue;
        }
        let targets = page.targets();
        let here = targets.iter().filter(|link| !link.contains("://"));
        for link in here {
            followed += 1;
            if let Err(error) = follow(&root, &page, link) {
                wrong.push(format!("{}: {link}: {error:#}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(followed > 50, "{followed}");
    Ok(())
}

fn follow(root: &Path, page: &Page, link: &str) -> anyhow::Result<()> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let from = root.join(&page.name);
    let path = if file.is_empty() {
        from
    } else {
        from.parent().context("a folder")?.join(file)
    };
    let path = path.canonicalize().context("there is no such file")?;
    let name = path
        .strip_prefix(root)
        .context("it leads out of the repository")?;
    if heading.is_empty() {
        return Ok(());
    }
    let anchors = markdown::page(&name.display().to_string())?.anchors();
    anyhow::ensure!(
        anchors.iter().any(|known| known == heading),
        "no such heading; there are {anchors:?}"
    );
    Ok(())
}

/// Every page can be reached from the README.
#[test]
fn the_readme_leads_to_every_page() -> anyhow::Result<()> {
    let mut reached = vec!["README.md".to_owned()];
    let mut next = 0;
    while let Some(name) = reached.get(next).cloned() {
        next += 1;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in markdown::page(&name)?.targets() {
            let file = link.split('#').next().unwrap_or_default();
            let is_page = Path::new(file).extension().is_some_and(|end| end == "md");
            if !is_page || link.contains("://") {
                continue;
            }
            let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
            for part in file.split('/') {
                match part {
                    ".." => drop(path.pop()),
                    part => path.push(part),
                }
            }
            let path = path.join("/");
            if !reached.contains(&path) {
                reached.push(path);
            }
        }
    }
    for page in markdown::read_by_people()? {
        assert!(reached.contains(&page.name), "{} is not linked", page.name);
    }
    Ok(())
}
