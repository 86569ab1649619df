//! The README shows the program as it is.

const README: &str = include_str!("../../../README.md");
const PROGRAM: &str = include_str!("../src/main.rs");

#[test]
fn the_readme_shows_this_program() {
    let shown = README.split("```rust\n").skip(1).filter_map(|block| block.split("```").next());
    let (_doc, program) = PROGRAM.split_once("\n\n").unwrap();
    assert!(shown.into_iter().any(|block| block == program), "README.md has to show:\n{program}");
}

#[test]
fn the_body_of_main_has_ten_lines_at_most() {
    let (_, body) = PROGRAM.split_once("async fn main()").unwrap();
    let lines = body.lines().skip(1).take_while(|line| *line != "}").filter(|line| !line.is_empty());
    assert!(lines.count() <= 10);
}
