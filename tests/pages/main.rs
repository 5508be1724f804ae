//! What the pages say is so: links lead somewhere, blocks of code run or can be read, the tests that a page names are
//! there, and no message of the programs lacks its remedy.

mod blocks;
mod cluster;
mod links;
mod markdown;
mod named;
mod outage;
mod quick_start;
mod read;
mod remedies;
mod room;
mod shell;
mod sizing;
mod words;
