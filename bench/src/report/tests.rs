//! The page and the plots of a small file of results.

use expect_test::expect_file;

use super::plot::{Axis, Line, Plot, Scale};
use super::{Report, draw, page};
use crate::results::Entry;

fn report() -> Report {
    let mut report = Report::default();
    report.read(include_str!("fixture.jsonl")).unwrap();
    report.sort();
    report
}

#[test]
fn the_page_has_a_section_for_each_command() {
    let report = report();
    let page = page::page(&report, &draw::all(&report));
    expect_file!["fixture.md"].assert_eq(&page);
}

/// The file has all fields that the commands print, and no other.
#[test]
fn what_is_read_is_what_was_printed() {
    for line in include_str!("fixture.jsonl").lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let printed: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_value(&entry).unwrap(), printed);
    }
}

#[test]
fn nothing_measured_is_a_page_without_sections() {
    let report = Report::default();
    assert!(draw::all(&report).is_empty());
    assert!(!page::page(&report, &[]).contains("##"));
}

#[test]
fn a_line_that_is_no_result_is_told_by_its_number() {
    let error = Report::default().read("\n{\"kind\":\"weather\"}\n");
    assert_eq!(error.unwrap_err().to_string(), "line 2 is no result");
}

#[test]
fn lines_have_the_colour_of_their_workload_and_all_points() {
    let plots = draw::all(&report());
    let checks = &plots.iter().find(|plot| plot.name == draw::CHECKS);
    let lines = &checks.unwrap().plot.lines;
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.name.as_str(), line.colour, line.is_dashed))
        .collect();
    assert_eq!(
        told,
        [
            ("code hosting, p50", 0, false),
            ("code hosting, p99", 0, true),
            ("documents, p50", 1, false),
            ("documents, p99", 1, true),
        ]
    );
    assert_eq!(lines[2].points, [(1e4, 4e-7), (1e6, 1.5e-6)]);
}

/// The ends of the axes are round numbers; a text is no markup.
#[test]
fn a_plot_marks_round_numbers() {
    let axis = |label, scale| Axis { label, scale };
    let plot = Plot {
        title: "a < b".to_owned(),
        x: axis("size", Scale::Logarithmic),
        y: axis("times", Scale::Linear),
        lines: vec![Line {
            name: "one".to_owned(),
            colour: 0,
            is_dashed: false,
            points: vec![(10_000.0, 1.5), (100_000_000.0, 4.2)],
        }],
    };
    let svg = plot.svg();
    for mark in [">10 k<", ">1 M<", ">100 M<", ">0<", ">5<", ">a &lt; b<"] {
        assert!(svg.contains(mark), "no {mark} in {svg}");
    }
    // From one corner of the area to the height of 4.2 at its right end.
    assert!(svg.contains("points=\"78.0,253.6 570.0,98.1\""), "{svg}");
}
