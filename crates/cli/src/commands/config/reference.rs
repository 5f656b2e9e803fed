//! The reference of what can be set, written from the definitions of the flags: they are the one place where that is said.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use crate::commands::serve::reload::APPLIED;

/// What is read again while a server runs, on SIGHUP and when it changes: the files that these name.
const FILES_READ_AGAIN: [&str; 10] = [
    "preshared-key-file",
    "token-key-file",
    "identity",
    "edge-rules",
    "audit-key-file",
    "decision-log",
    "limits",
    "tls-cert",
    "tls-key",
    "tls-client-ca",
];

const HEAD: &str = "# Configuration\n
What `remit serve` and the commands that ask it can be set to. This page is written by `remit config reference` from the definitions of the
flags, and held to them by a test.\n
Each value has one name, and can be given in three ways: as a flag, `--depth-max 60`; by the environment, `REMIT_DEPTH_MAX=60`; in a
configuration file (TOML), `depth-max = 60`. A flag is stronger than the environment, and that is stronger than the file. The file is the
one of `--config FILE`, or `remit.toml` in the working folder if it is there; it has names and values alone, no tables, and a list where a
flag can be repeated. [deploy/remit.toml](../deploy/remit.toml) has every value, commented.\n
`remit config check` says what is wrong, with the line of the file, and exits with 2; `remit config show` says what a server would be set to
and where each value comes from. Both take what `remit serve` takes. A server that is given what is wrong does not start, and exits with 2.
Keys and stores are not shown, and are better given by the environment or the file: others see the arguments of a process.\n";

const CLIENT: &str = "\n## Commands that ask a server\n
The same for all of them; a command's own flags are told by its `--help`.\n";

/// The page.
pub(super) fn page(command: &Command) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## remit serve\n\n");
    page.push_str("*Read again*, on SIGHUP and within 5 seconds of a change: `value` for one that takes effect when the configuration file ");
    page.push_str("changes; `file` for a file whose content does, its name stays; ");
    page.push_str("empty for what takes a restart,\nwhich a line of the log says when it is changed (WARN). A faulty file changes nothing (ERROR).\n\n");
    table(&mut page, &serve_flags(command), command);
    page.push_str(CLIENT);
    page.push('\n');
    let client = command.find_subcommand("check");
    let client: Vec<&Arg> = client
        .iter()
        .flat_map(|check| flags(check))
        .filter(|argument| argument.get_env().is_some())
        .collect();
    table(&mut page, &client, command);
    page
}

/// The configuration file with every value of a server, commented.
pub(super) fn example(command: &Command) -> String {
    let mut file = "# What `remit serve` can be set to, with the defaults; docs/configuration.md. Written by `remit config reference \
         --example`.\n# Keep the file to the user that serves (chmod 0600) if it has keys, or a store whose URL has a password.\n"
        .to_owned();
    for argument in serve_flags(command) {
        let name = argument.get_long().unwrap_or_default();
        file.push('\n');
        for line in wrapped(&help(argument), 110) {
            let _infallible = writeln!(file, "# {line}");
        }
        let _infallible = writeln!(file, "#{name} = {}", example_value(argument));
    }
    file
}

fn serve_flags(command: &Command) -> Vec<&Arg> {
    let serve = command.find_subcommand("serve");
    serve.iter().flat_map(|serve| flags(serve)).collect()
}

/// The flags that a command has of its own, but for those that are there for the sake of others' names.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = command.get_arguments().filter(|it| !it.is_hide_set());
    own.filter(|it| it.get_long().is_some() && it.get_id() != "help" && it.get_id() != "config")
}

fn table(page: &mut String, flags: &[&Arg], command: &Command) {
    page.push_str("| name | environment | value | default | read again | what it is |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for argument in flags {
        let name = argument.get_long().unwrap_or_default();
        let variable = argument.get_env().map(|it| it.to_string_lossy());
        let variable = variable.map_or_else(String::new, |it| format!("`{it}`"));
        let default = default(argument).map_or_else(String::new, |it| format!("`{it}`"));
        let again = if FILES_READ_AGAIN.contains(&name) {
            "file"
        } else if APPLIED.contains(&name) {
            "value"
        } else {
            ""
        };
        let value = value(argument, command).replace('|', "\\|");
        let help = help(argument).replace('|', "\\|");
        let _infallible = writeln!(
            page,
            "| `{name}` | {variable} | {value} | {default} | {again} | {help} |"
        );
    }
}

fn help(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let one_line: Vec<&str> = help.split_whitespace().collect();
    let mut text = one_line.join(" ");
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

fn is_switch(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::SetTrue)
}

fn default(argument: &Arg) -> Option<String> {
    if is_switch(argument) {
        return Some("false".to_owned());
    }
    let value = argument.get_default_values().first()?;
    Some(value.to_string_lossy().into_owned())
}

/// What a value may be: its kind, its unit, its range.
fn value(argument: &Arg, command: &Command) -> String {
    if is_switch(argument) {
        return "`true` or `false`".to_owned();
    }
    let possible: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() {
        return possible.join(" or ");
    }
    let name = argument.get_long().unwrap_or_default();
    let named = argument.get_value_names().and_then(<[_]>::first);
    let named = named.map(|name| name.to_string()).unwrap_or_default();
    let is_number = default(argument).is_some_and(|it| it.parse::<u64>().is_ok());
    if !is_number {
        let many = if matches!(argument.get_action(), ArgAction::Append) {
            ", several"
        } else {
            ""
        };
        return format!("{named}{many}");
    }
    let unit = match named.as_str() {
        unit @ ("SECONDS" | "MILLISECONDS" | "HOURS") => unit.to_lowercase(),
        _ if name.contains("bytes") => "bytes".to_owned(),
        _ => "count".to_owned(),
    };
    format!("{unit}, {}", range(name, command))
}

/// The range of a number, as the parser tells it of what it refuses.
fn range(name: &str, command: &Command) -> String {
    // The largest that every kind of integer can be asked about.
    for tried in ["0", "9223372036854775807"] {
        let typed = ["remit", "serve", &format!("--{name}={tried}")].map(str::to_owned);
        let Err(error) = command.clone().try_get_matches_from(typed) else {
            continue;
        };
        let told = std::error::Error::source(&error).map(ToString::to_string);
        let told = told.unwrap_or_default();
        if let Some((_, range)) = told.split_once(" is not in ") {
            let range = range.trim_end_matches("18446744073709551615");
            let (from, to) = range.split_once("..").unwrap_or((range, ""));
            let to = to.trim_start_matches('=');
            return if to.is_empty() {
                format!("{from} at least")
            } else {
                format!("{from} to {to}")
            };
        }
    }
    "0 at least".to_owned()
}

/// A value as the file has it: the default, else one of the kind.
fn example_value(argument: &Arg) -> String {
    let default = default(argument);
    let is_plain = |text: &String| is_switch(argument) || text.parse::<u64>().is_ok();
    match default {
        Some(plain) if is_plain(&plain) => plain,
        Some(text) => format!("\"{text}\""),
        None => match argument.get_long().unwrap_or_default() {
            "store" => "\"sqlite:remit.db\"".to_owned(),
            "public-url" => "\"https://remit.example.com\"".to_owned(),
            "preshared-key" => "[\"NAME:KEY\"]".to_owned(),
            "otlp-endpoint" => "\"https://collector.example.com:4317\"".to_owned(),
            "otlp-headers" => "[\"NAME=VALUE\"]".to_owned(),
            "memory-max-mib" => "4096".to_owned(),
            name => format!("\"/etc/remit/{name}\""),
        },
    }
}

/// The words of `text` in lines of at most so many bytes.
fn wrapped(text: &str, bytes_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < bytes_max => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_is_there() {
        let command = crate::arguments::command();
        let names: Vec<_> = serve_flags(&command)
            .iter()
            .filter_map(|argument| argument.get_long())
            .collect();
        for name in FILES_READ_AGAIN {
            assert!(names.contains(&name), "{name}");
        }
        for argument in serve_flags(&command) {
            assert!(argument.get_env().is_some(), "{argument:?} has no variable");
        }
    }

    #[test]
    fn a_range_is_what_the_parser_says() {
        let command = crate::arguments::command();
        assert_eq!(range("depth-max", &command), "1 to 250");
        assert_eq!(range("call-seconds-max", &command), "1 at least");
        assert_eq!(range("watches-max", &command), "0 to 4294967295");
        assert_eq!(range("edges-visited-max", &command), "0 at least");
    }
}
