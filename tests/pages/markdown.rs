//! Markdown, as far as these pages use it: fenced blocks, headings, links, tables.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keyside_harness::tools;

/// A file of the repository. Its name is the path from the root.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What stands between two fences.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) page: String,
    /// Of the opening fence, from 1 on.
    pub(crate) line: usize,
    /// The first word behind the fence.
    pub(crate) language: String,
    /// The words behind it, which say how the block is to be taken.
    pub(crate) marks: Vec<String>,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn is_marked(&self, mark: &str) -> bool {
        self.marks.iter().any(|known| known == mark)
    }

    /// The file that it is: its first line is a comment with that name and nothing else.
    pub(crate) fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        let (stem, end) = name.split_once('.')?;
        let is_plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        (is_plain(stem) && is_plain(end)).then_some(name)
    }

    /// For messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// Folders that hold no page of ours.
const ELSEWHERE: [&str; 4] = ["target", ".tools", ".git", "node_modules"];

/// Every Markdown file of the repository.
pub(crate) fn all() -> anyhow::Result<Vec<Page>> {
    let root = tools::root()?;
    let mut found = Vec::new();
    collect(&root, &mut found)?;
    found.sort();
    let pages = found.into_iter().map(|path| {
        let name = path.strip_prefix(&root)?.display().to_string();
        page(&name)
    });
    pages.collect()
}

/// The pages that people read: each block on them is run, read or marked.
pub(crate) fn read_by_people() -> anyhow::Result<Vec<Page>> {
    let mut pages = all()?;
    pages.retain(|page| {
        let name = page.name.as_str();
        !name.contains('/') || name.starts_with("docs/") || name.starts_with("charts/")
    });
    Ok(pages)
}

pub(crate) fn page(name: &str) -> anyhow::Result<Page> {
    let text = std::fs::read_to_string(tools::root()?.join(name));
    Ok(Page {
        name: name.to_owned(),
        text: text.with_context(|| format!("read {name}"))?,
    })
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() && !ELSEWHERE.contains(&&*name) {
            collect(&path, found)?;
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    Ok(())
}

impl Page {
    /// The fenced blocks, in order.
    pub(crate) fn blocks(&self) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let rest = line.trim_start();
            let indent = line.len() - rest.len();
            match (&mut open, rest.strip_prefix("```")) {
                (None, Some(info)) => {
                    let mut words = info.split_whitespace().map(str::to_owned);
                    let block = Block {
                        page: self.name.clone(),
                        line: index + 1,
                        language: words.next().unwrap_or_default(),
                        marks: words.collect(),
                        text: String::new(),
                    };
                    open = Some((block, indent));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), _) => {
                    let text = line.get(*indent..).unwrap_or_default();
                    block.text.push_str(text);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        let last = open.map(|(block, _)| block.place());
        anyhow::ensure!(last.is_none(), "{last:?} is not closed");
        Ok(blocks)
    }

    /// The text without fenced blocks, and without what stands between backticks.
    pub(crate) fn prose(&self) -> String {
        let mut prose = String::new();
        for line in self.lines() {
            for (index, part) in line.split('`').enumerate() {
                prose.push_str(if index % 2 == 0 { part } else { "" });
            }
            prose.push('\n');
        }
        prose
    }

    /// The lines outside of fenced blocks.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let mut inside = false;
        self.text.lines().filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            let outside = !inside && !fence;
            inside ^= fence;
            outside
        })
    }

    /// The headings, as links name them: GitHub numbers those that come twice.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for line in self.lines() {
            let text = line.trim_start_matches('#');
            if text.len() == line.len() || !text.starts_with(' ') {
                continue;
            }
            let slug = slug(text.trim());
            let before = anchors
                .iter()
                .filter(|known| {
                    **known == slug
                        || known
                            .strip_prefix(&slug)
                            .is_some_and(|rest| rest.starts_with('-'))
                })
                .count();
            if anchors.contains(&slug) {
                anchors.push(format!("{slug}-{before}"));
            } else {
                anchors.push(slug);
            }
        }
        anchors
    }

    /// What stands between `](` and `)`.
    pub(crate) fn targets(&self) -> Vec<String> {
        let prose = self.prose();
        let rest = prose.split("](").skip(1);
        rest.filter_map(|rest| rest.split(')').next())
            .map(str::to_owned)
            .collect()
    }

    /// The cells of the tables whose first heading cell is this.
    pub(crate) fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut inside = false;
        for line in self.lines() {
            let cells = line
                .strip_prefix("| ")
                .and_then(|line| line.strip_suffix(" |"));
            let Some(cells) = cells else {
                inside &= line.starts_with("|--") || line.starts_with("|:-");
                continue;
            };
            let cells: Vec<String> = cells
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect();
            if inside {
                rows.push(cells);
            } else {
                inside = cells.first().is_some_and(|first| first == heading);
            }
        }
        rows
    }
}

/// As GitHub makes it.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn reads_blocks_headings_and_links() -> anyhow::Result<()> {
    let text = "# A `b`: c\n\n[x](y.md#z) `[no](link)`\n\n- list\n  ```sh cluster\n  a\n    b\n  ```\n\n## d\n## d\n\n| k | v |\n|---|---|\n| 1 | 2 |\n";
    let page = Page {
        name: "p.md".to_owned(),
        text: text.to_owned(),
    };
    let blocks = page.blocks()?;
    let block = blocks.first().context("no block")?;
    assert_eq!((block.language.as_str(), block.line), ("sh", 6));
    assert!(block.is_marked("cluster"));
    assert_eq!(block.text, "a\n  b\n");
    assert_eq!(page.anchors(), ["a-b-c", "d", "d-1"]);
    assert_eq!(page.targets(), ["y.md#z"]);
    assert_eq!(page.rows("k"), [["1", "2"]]);
    Ok(())
}
