//! What the tasks say: tables for people, JSON for programs, progress on standard error. The only printing room.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

use serde_json::Value;
use std::error::Error;

/// A line of progress, apart from what a program would read.
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// A line of the answer.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Why a task failed, with everything that led to it.
pub(crate) fn failure(error: &dyn Error) {
    let mut text = format!("xtask: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(&format!("\n  because: {words}"));
        }
        source = error.source();
    }
    eprintln!("{text}");
}

/// Rows as a table with the given columns, or as JSON.
pub(crate) fn rows(json: bool, columns: &[&str], rows: &[Value]) {
    if json {
        println!("{}", Value::Array(rows.to_vec()));
        return;
    }
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => "-".to_owned(),
        // A name is whatever people chose; a terminal must not obey it.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    };
    let width = |column: &str| {
        rows.iter().map(|row| cell(row, column).chars().count()).chain([column.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().map(|column| width(column)).collect();
    let print = |cells: Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    print(columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect());
    rows.iter().for_each(|row| print(columns.iter().map(|column| cell(row, column)).collect()));
    if rows.is_empty() {
        println!("(none)");
    }
}
