//! Blocks that run, each page's in its own room and in their order, and what they print.

use std::process::Command;

use crate::blocks::{self, Use};
use crate::markdown::{self, Block, Page};
use crate::room::Room;
use crate::words::matches;

#[test]
fn the_commands_of_the_pages_do_what_the_pages_say() -> anyhow::Result<()> {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in markdown::read_by_people()? {
        if let Err(error) = play(&page, &mut count) {
            wrong.push(format!("{}: {error:#}", page.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 10, "{count}");
    Ok(())
}

fn play(page: &Page, count: &mut usize) -> anyhow::Result<()> {
    let blocks = page.blocks()?;
    let mut room = None;
    // What the last command said; nothing where that needs a cluster.
    let mut said: Option<Vec<String>> = None;
    for block in &blocks {
        let used = blocks::judge(block)?;
        match used {
            Use::Run | Use::Application | Use::Serve => {
                *count += 1;
                if lacks_curl(block) {
                    said = None;
                    continue;
                }
                if room.is_none() {
                    room = Some(Room::new(&page.name)?);
                }
            }
            Use::Output => {
                if let Some(lines) = &said {
                    compare(block, lines)?;
                }
                continue;
            }
            Use::Cluster => said = None,
            Use::Read if block.file().is_some() => {
                if room.is_none() {
                    room = Some(Room::new(&page.name)?);
                }
            }
            Use::Cargo | Use::Read => {}
        }
        let Some(room) = &mut room else { continue };
        match used {
            Use::Serve => room.serve(&block.text)?,
            Use::Read => {
                if let Some(file) = block.file() {
                    room.write(file, &block.text)?;
                }
            }
            Use::Run | Use::Application => {
                let heard = room.run(&block.text, used == Use::Application)?;
                let failed: Vec<&String> = heard.failed.iter().filter(|it| !is_meant(it)).collect();
                let all = heard.lines.join("\n");
                anyhow::ensure!(failed.is_empty(), "line {}: {failed:?}\n{all}", block.line);
                said = Some(heard.lines);
            }
            _ => {}
        }
    }
    room.map_or(Ok(()), Room::close)
}

/// Pages show it, for readers know it; not every machine has it. Continuous integration does.
#[expect(
    clippy::print_stderr,
    reason = "a test that checks nothing has to say so"
)]
fn lacks_curl(block: &Block) -> bool {
    let names_it = crate::named::commands(&block.text)
        .any(|words| words.first().is_some_and(|word| word == "curl"));
    let lacks = names_it
        && std::env::var_os("CI").is_none()
        && Command::new("curl").arg("--version").output().is_err();
    if lacks {
        eprintln!("SKIPPED: {}: no curl here", block.place());
    }
    lacks
}

/// `inject --diff` ends with 1 where something changes, and `lint` where something is wrong.
fn is_meant(failed: &str) -> bool {
    failed.starts_with("1 keyside-injector")
        && (failed.contains(" --diff") || failed.contains("-injector lint"))
}

/// Each line of the block is printed, in this order.
fn compare(block: &Block, lines: &[String]) -> anyhow::Result<()> {
    let mut rest = lines.iter();
    for expected in block.text.lines().filter(|line| !line.trim().is_empty()) {
        let found = rest.any(|line| matches(expected.trim_end(), line.trim_end()));
        anyhow::ensure!(
            found,
            "line {}: nothing like {expected:?} in\n{}",
            block.line,
            lines.join("\n")
        );
    }
    Ok(())
}
