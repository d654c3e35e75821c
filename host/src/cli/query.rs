//! `lantern query`: rows of a read model. The grammar of filters is the daemon's own.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use comfy_table::{Cell, CellAlignment};
use serde_json::Value;

use super::Context;
use super::client::{Answer, Target};
use super::output::{self, Format, OrderedObject, counted, grouped, plain, words};

const FILTERS: &str = "\
Operators of filters: eq, neq, gt, gte, lt, lte, like, in, is. For example
  lantern query carriers totals --where total=gte.100 --where carrier=in.(AA,UA) --order total.desc";

#[derive(Args)]
#[command(after_help = FILTERS)]
pub struct Query {
    /// Name of the projection
    projection: String,
    /// Name of the table
    table: String,
    /// Only rows whose column fits, for example total=gte.100; several must all fit
    #[arg(long = "where", value_name = "COLUMN=OPERATOR.VALUE")]
    filters: Vec<Filter>,
    /// Columns to order by, for example total.desc,name
    #[arg(long, value_name = "COLUMNS")]
    order: Option<String>,
    /// Columns to show, for example name,total
    #[arg(long, value_name = "COLUMNS")]
    select: Option<String>,
    /// At most this many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Leave out this many rows first
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// Wait until the rows include the event at this position
    #[arg(long, value_name = "POSITION")]
    at_least: Option<u64>,
    /// How long to wait for that
    #[arg(long, value_name = "MILLISECONDS", requires = "at_least")]
    timeout_ms: Option<u64>,
}

/// A filter is a parameter of the query.
#[derive(Clone, Debug)]
struct Filter {
    column: String,
    condition: String,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((column, condition)) if !column.is_empty() && condition.contains('.') => {
                Ok(Self { column: column.to_owned(), condition: condition.to_owned() })
            }
            _ => Err("write COLUMN=OPERATOR.VALUE, for example total=gte.100 or carrier=eq.UA".to_owned()),
        }
    }
}

impl Query {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let answer = context.client.get(&self.target())?;
        if context.format == Format::Json {
            let rows: Box<serde_json::value::RawValue> = answer.json()?;
            output::print(rows)?;
            return Ok(ExitCode::SUCCESS);
        }
        let footer = footer(&answer);
        let rows: Vec<OrderedObject> = answer.json()?;
        if !rows.is_empty() {
            output::print_table(&table(&rows))?;
            output::print("")?;
        }
        output::print(format!("{}{footer}", counted(rows.len() as u64, "row")))?;
        Ok(ExitCode::SUCCESS)
    }

    fn target(&self) -> Target {
        let mut target = Target::new(&["projections", &self.projection, "tables", &self.table]);
        for Filter { column, condition } in &self.filters {
            target = target.with(column, condition);
        }
        let target = target.with_each("order", &self.order).with_each("select", &self.select);
        let target = target.with_each("limit", self.limit).with_each("offset", self.offset);
        target.with_each("at_least", self.at_least).with_each("timeout_ms", self.timeout_ms)
    }
}

/// Which moment the rows show.
fn footer(answer: &Answer) -> String {
    let position = answer.header("lantern-position").and_then(|position| position.parse().ok());
    let position = position.map(|position| format!(" at position {}", grouped(position))).unwrap_or_default();
    let state = answer.header("lantern-projection-state").map(|state| words(&Value::from(state)));
    position + &state.map(|state| format!(" ({state})")).unwrap_or_default()
}

fn table(rows: &[OrderedObject]) -> comfy_table::Table {
    let headings = rows.first().map(|row| row.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    let mut table = output::table(headings.unwrap_or_default());
    for row in rows {
        table.add_row(row.0.iter().map(|(_, value)| match value {
            Value::Number(_) => Cell::new(plain(value)).set_alignment(CellAlignment::Right),
            _ => Cell::new(plain(value)),
        }));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_split_at_its_first_equals_sign() {
        let filter: Filter = "name=eq.a=b".parse().expect("a filter");
        assert_eq!((filter.column.as_str(), filter.condition.as_str()), ("name", "eq.a=b"));
        for wrong in ["total", "=eq.1", "total=1", ""] {
            assert!(wrong.parse::<Filter>().expect_err("no filter").contains("COLUMN=OPERATOR.VALUE"), "{wrong}");
        }
    }

    #[test]
    fn rows_are_a_table_with_numbers_at_the_right() {
        let rows: Vec<OrderedObject> =
            serde_json::from_str(r#"[{"name":"UA","total":5,"mean":null},{"name":"B6","total":1234,"mean":1.5}]"#)
                .expect("rows");
        let mut table = table(&rows);
        table.force_no_tty();
        let text: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(text, ["name  total  mean", "UA        5  -", "B6     1234   1.5"]);
    }
}
