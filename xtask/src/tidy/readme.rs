//! The rule that the README's tables say what the program says: its verbs and its variables.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Finding;
use super::tree::Tree;
use crate::error::{Context, Error, Result};

const README: &str = "README.md";

/// What `btc` says about itself.
pub(super) struct Program {
    verbs: BTreeSet<String>,
    /// Name and default.
    variables: Vec<(String, String)>,
}

/// A row of a table whose first cell is a name in backticks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) name: String,
    /// The other cells.
    rest: Vec<String>,
}

impl Program {
    /// From `btc --help` and `btc variables --json`.
    pub(super) fn parse(help: &str, variables: &str) -> Result<Self> {
        let verbs = verbs(help);
        if verbs.is_empty() {
            return Err(Error::new(
                "`btc --help` has no `Commands:` section; the README's verbs cannot be checked",
            ));
        }
        Ok(Self {
            verbs,
            variables: parse_variables(variables)?,
        })
    }
}

pub(super) fn check(tree: &Tree, program: &Program) -> Vec<Finding> {
    let Some(text) = tree.text(README) else {
        return vec![Finding::new(README, 1, "is missing; write it")];
    };
    let variables = program
        .variables
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let mut findings = compare(text, "verbs", "verb", &program.verbs);
    findings.extend(compare(text, "variables", "variable", &variables));
    findings.extend(defaults(text, &program.variables));
    findings
}

fn verbs(help: &str) -> BTreeSet<String> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // A verb stands two columns in; deeper lines go on with its description.
    let named = section
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "));
    let words = named
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next());
    words
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

fn parse_variables(json: &str) -> Result<Vec<(String, String)>> {
    let shape = "`btc variables --json` should print an array of {name, default, help}";
    let value: Value = serde_json::from_str(json).context(|| shape.to_owned())?;
    let entries = value
        .as_array()
        .filter(|entries| !entries.is_empty())
        .ok_or_else(|| Error::new(shape))?;
    let text = |entry: &Value, field: &str| match &entry[field] {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        _ => None,
    };
    let pair = |entry: &Value| {
        Some((
            text(entry, "name").filter(|name| !name.is_empty())?,
            text(entry, "default")?,
        ))
    };
    entries
        .iter()
        .map(|entry| pair(entry).ok_or_else(|| Error::new(shape)))
        .collect()
}

/// The table between `<!-- section -->` and `<!-- /section -->` against the names in the code.
fn compare(text: &str, section: &str, noun: &str, expected: &BTreeSet<String>) -> Vec<Finding> {
    let Some(rows) = section_rows(text, section) else {
        let message = format!(
            "put the table of {section} between `<!-- {section} -->` and `<!-- /{section} -->`"
        );
        return vec![Finding::new(README, 1, message)];
    };
    let first = rows.first().map_or(1, |row| row.line);
    // The row of the bare command names no verb.
    let named: Vec<_> = rows.iter().filter(|row| row.name != "btc").collect();
    let missing = expected
        .iter()
        .filter(|name| named.iter().all(|row| row.name != **name));
    let missing = missing.map(|name| {
        Finding::new(
            README,
            first,
            format!("the {noun} `{name}` is not in the table; add its row"),
        )
    });
    let unknown = named.iter().filter(|row| !expected.contains(&row.name));
    let unknown = unknown.map(|row| {
        Finding::new(
            README,
            row.line,
            format!("the program has no {noun} `{}`; delete its row", row.name),
        )
    });
    let mut seen = BTreeSet::new();
    let double = named.iter().filter(|row| !seen.insert(row.name.as_str()));
    let double = double.map(|row| {
        Finding::new(
            README,
            row.line,
            format!("the {noun} `{}` has two rows; keep one", row.name),
        )
    });
    missing.chain(unknown).chain(double).collect()
}

/// When the table has a column `default`, its cells are the code's defaults.
fn defaults(text: &str, variables: &[(String, String)]) -> Vec<Finding> {
    let header = section(text, "variables").and_then(|lines| {
        lines
            .into_iter()
            .map(|(_, line)| cells(line))
            .find(|cells| !cells.is_empty())
    });
    let Some(column) = header.and_then(|cells| {
        cells
            .iter()
            .position(|cell| cell.eq_ignore_ascii_case("default"))
    }) else {
        return Vec::new();
    };
    let rows = section_rows(text, "variables").unwrap_or_default();
    let wrong = rows.iter().filter_map(|row| {
        let (_, default) = variables.iter().find(|(name, _)| *name == row.name)?;
        let cell = row.rest.get(column.checked_sub(1)?)?;
        let (shown, default) = (plain(cell), plain(default));
        (shown != default).then(|| {
            let message = format!(
                "the default of `{}` is {default:?}, not {shown:?}; correct the cell",
                row.name
            );
            Finding::new(README, row.line, message)
        })
    });
    wrong.collect()
}

/// Without the marks of code; a dash, like `none`, says that there is no default.
fn plain(text: &str) -> String {
    let text = text.replace('`', "");
    let is_nothing = matches!(text.as_str(), "-" | "–" | "—" | "none");
    if is_nothing { String::new() } else { text }
}

fn section_rows(text: &str, name: &str) -> Option<Vec<Row>> {
    Some(
        section(text, name)?
            .into_iter()
            .filter_map(|(number, line)| row(number, line))
            .collect(),
    )
}

fn section<'t>(text: &'t str, name: &str) -> Option<Vec<(usize, &'t str)>> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let lines: Vec<_> = (1..).zip(text.lines()).collect();
    let start = lines.iter().position(|(_, line)| line.trim() == open)?;
    let end = lines.iter().position(|(_, line)| line.trim() == close)?;
    Some(lines.get(start + 1..end)?.to_vec())
}

/// All rows of all tables of a document whose first cell is a name in backticks.
pub(super) fn rows(text: &str) -> Vec<Row> {
    (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| row(number, line))
        .collect()
}

/// `` | `btc tx TXID` | … `` is named `tx`: the program and the arguments are not part of the name.
fn row(number: usize, line: &str) -> Option<Row> {
    let cells = cells(line);
    let code = cells.first()?.strip_prefix('`')?.split('`').next()?;
    let mut words = code.split_whitespace();
    let first = words.next()?;
    let name = if first == "btc" {
        words.next().unwrap_or(first)
    } else {
        first
    };
    Some(Row {
        line: number,
        name: name.to_owned(),
        rest: cells[1..].to_vec(),
    })
}

fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line.trim().strip_prefix('|') else {
        return Vec::new();
    };
    let inner = inner
        .strip_suffix('|')
        .unwrap_or(inner)
        .replace("\\|", "\u{0}");
    inner
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Program, check, rows};
    use crate::tidy::tree::Tree;

    const HELP: &str = "Compares.\n\nUsage: btc [COMMAND]\n\nCommands:\n  status  What is configured\n          and more\n  \
                        tx      A transaction\n  help    Print this\n\nOptions:\n  -h, --help\n";
    const VARIABLES: &str = r#"[{"name":"SHADOW_MODE","default":"false","help":"x"},{"name":"LOG_FILE","default":null,"help":"y"}]"#;
    const README: &str = "# btc\n<!-- verbs -->\n| verb | does |\n|---|---|\n| `btc` | the same as status |\n| `status` | x |\n\
                          | `btc tx TXID` | y |\n<!-- /verbs -->\n<!-- variables -->\n| variable | default | meaning |\n\
                          |---|---|---|\n| `SHADOW_MODE` | `false` | x |\n| `LOG_FILE` | — | y |\n<!-- /variables -->\n";

    fn messages(readme: &str) -> Vec<String> {
        let program = Program::parse(HELP, VARIABLES);
        let found = program.map(|program| check(&Tree::of(&[("README.md", readme)]), &program));
        found
            .unwrap_or_default()
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn a_true_readme_passes() {
        assert_eq!(messages(README), Vec::<String>::new());
    }

    #[test]
    fn a_verb_too_few_or_too_many_is_found() {
        let few = messages(&README.replace("| `status` | x |\n", ""));
        assert_eq!(
            few,
            ["README.md:5: the verb `status` is not in the table; add its row"]
        );
        let many = messages(&README.replace("`status`", "`statuses`"));
        assert_eq!(many.len(), 2);
        let twice =
            messages(&README.replace("| `status` | x |\n", "| `status` | x |\n| `status` | x |\n"));
        assert_eq!(
            twice,
            ["README.md:7: the verb `status` has two rows; keep one"]
        );
    }

    #[test]
    fn a_wrong_variable_or_default_is_found() {
        let wrong = messages(&README.replace("`false`", "`true`"));
        assert_eq!(
            wrong,
            [
                "README.md:12: the default of `SHADOW_MODE` is \"false\", not \"true\"; correct the cell"
            ]
        );
        assert_eq!(messages(&README.replace("LOG_FILE", "LOGFILE")).len(), 2);
    }

    #[test]
    fn the_tables_must_be_marked() {
        assert_eq!(messages(&README.replace("<!-- verbs -->", "")).len(), 1);
        assert_eq!(messages("# btc\n").len(), 2);
    }

    #[test]
    fn a_program_that_says_nothing_is_an_error() {
        assert!(Program::parse("", VARIABLES).is_err());
        assert!(Program::parse(HELP, "[]").is_err());
        assert!(Program::parse(HELP, r#"[{"default":"x"}]"#).is_err());
        assert!(Program::parse(HELP, "oops").is_err());
    }

    #[test]
    fn rows_are_read() {
        let found = rows("| name |\n|---|\n| `a-b` | c |\n| plain | d |\ntext `e`\n");
        assert_eq!(
            found
                .iter()
                .map(|row| (row.line, row.name.as_str()))
                .collect::<Vec<_>>(),
            [(3, "a-b")]
        );
    }
}
