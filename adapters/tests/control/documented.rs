use tachograph_adapters::control::{ControlRequest, ControlResponse};

/// Every example line of the document means something, and is written the same way here.
#[test]
fn the_documented_lines_are_those_that_are_spoken() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (mut requests, mut responses) = (0, 0);
    for line in document.lines().filter(|line| line.starts_with("{\"v\":")) {
        let again = if line.contains("\"request\":") {
            requests += 1;
            ControlRequest::from_line(line.as_bytes()).unwrap().to_line()
        } else {
            responses += 1;
            ControlResponse::from_line(line.as_bytes()).unwrap().to_line()
        };
        assert_eq!(again, format!("{line}\n"));
    }
    assert_eq!((requests, responses), (6, 6), "an example is gone");
}
