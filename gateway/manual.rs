//! `opgate man` and `opgate completions`: made from the command line's own description.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

/// The script that has a shell complete the command line.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = <Cli as CommandFactory>::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of a command, in roff; none where there is no such command.
pub(crate) fn page(words: &[String]) -> Option<io::Result<String>> {
    let mut command = built();
    for word in words {
        command = command.find_subcommand(word)?.clone();
    }
    let mut page = Vec::new();
    Some(Man::new(command).render(&mut page).map(|()| String::from_utf8_lossy(&page).into_owned()))
}

/// Writes the page of every command into a directory, which is made.
pub(crate) fn files(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(<Cli as CommandFactory>::command(), dir)
}

/// The command, each of its commands with its whole name.
fn built() -> Command {
    let mut command = <Cli as CommandFactory>::command();
    command.build();
    command
}
